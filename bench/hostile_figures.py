"""What is made of the windows of `bench/hostile.py`: medians over rounds, and what the quiet windows alone vary by.

The noise is quiet against quiet, with the same count: as many quiet windows as there were attacked ones are drawn, and as many
others, again and again, and their medians compared. An attacked median further above the quiet one than all but 0.5 % of these
is no noise, unless it is less than the measuring end itself is late by: that cannot be told from its own clock. What was sent
while the host had taken a core away is set aside (`stalls`); how much that is, is a figure like the others, so that an attack
can't hide behind it.

A flood comes in a stream that was admitted, so a call is set up for it like for any other. What that costs is a newcomer's and
no attack's: floods are held against windows with as many ordinary calls that hang up at once, and so are all attacks together,
of which two are floods.
"""

import math
import random
import statistics
from collections import Counter
from dataclasses import dataclass, field

from bench.stalls import Aside
from bench.track import Track

DRAWS = 4000
BEYOND = 0.005  # of the draws, on either side
MOST_ASIDE_PERCENT = 20.0  # of a window's time: a calm machine has 1 or 2, so the host was not as in other windows
FEWEST = 2  # windows of an attack that have a median
DELAYS = ("down", "up", "worst call")
SET_ASIDE = "aside"
ASIDE_RESOLUTION = 1.0  # percent of the time: a stall of 15 ms in one of the windows
TELLING = 1.0  # noise of as much as the median itself would excuse anything


@dataclass(slots=True)
class Window:
    """One stretch of time. `attack` is empty for a quiet one; the figures are p99 in ms, and what is set aside in percent."""

    attack: str
    from_s: float
    to_s: float
    core_percent: float
    clock_ms: float  # how late the measuring end itself was
    figures: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    stolen_percent: float = 0.0  # of the machine's time: what the hypervisor gave to others


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure of one attack beside the quiet windows."""

    figure: str
    quiet: float  # of the windows that it is held against
    noise: tuple[float, float]  # where the median of as many of those may lie
    attacked: float

    @property
    def within_noise(self) -> bool:
        """Whether the attacked median could be one of quiet windows; being quicker is no harm."""
        return math.isfinite(self.noise[1]) and self.attacked <= self.noise[1]

    @property
    def telling(self) -> bool:
        """Whether the quiet windows are alike enough for "within noise" to mean something."""
        return self.figure == SET_ASIDE or self.noise[1] - self.quiet <= TELLING * self.quiet


def p99(values: list[float]) -> float:
    """Nearest rank; not a number without values."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else math.nan


def fill(window: Window, calls: list[tuple[Track, Track]], aside: Aside | None = None) -> None:
    """Take the window's figures from the calls' two tracks each, down and up."""
    aside = Aside() if aside is None else aside
    from_s, to_s = window.from_s, window.to_s
    of_calls = [(down.delays(from_s, to_s, aside), up.delays(from_s, to_s, aside)) for down, up in calls]
    downs, ups = ([delay for call in of_calls for delay in call[way]] for way in (0, 1))
    window.counted = len(downs) + len(ups)
    window.figures = {
        "down": 1000 * p99(downs),
        "up": 1000 * p99(ups),
        # Both ways together: one way alone has so few pieces in a window that its p99 is its single worst one.
        "worst call": 1000 * max((p99(down + up) for down, up in of_calls), default=math.nan),
        SET_ASIDE: aside.percent(from_s, to_s),
    }


def noise(quiet: list[float], count: int) -> tuple[float, float]:
    """How far the median of `count` quiet windows lies from that of as many others, for the lucky and the unlucky."""
    if 2 * count > len(quiet):
        raise ValueError(f"{len(quiet)} quiet windows are too few to draw {count} twice")
    chance = random.Random(1)
    apart = []
    for _ in range(DRAWS):
        drawn = chance.sample(quiet, 2 * count)
        apart.append(statistics.median(drawn[:count]) - statistics.median(drawn[count:]))
    apart.sort()
    beyond = int(BEYOND * DRAWS)
    return apart[beyond], apart[-1 - beyond]


def judge(windows: list[Window], attack: str, *, beside: str = "") -> list[Verdict]:
    """Each figure of one attack against all quiet windows of the run, or against those of the newcomers `beside` it."""
    quiet = [window for window in windows if not window.attack]
    attacked = [window for window in windows if window.attack == attack]
    newcomers = [window for window in windows if beside and window.attack == beside]
    resolution_ms = statistics.median(window.clock_ms for window in quiet)
    verdicts = []
    for figure in (*DELAYS, SET_ASIDE):
        of_quiet = [window.figures[figure] for window in quiet]
        median = statistics.median(of_quiet)
        low, high = noise(of_quiet, len(attacked))
        if newcomers:
            median = max(median, statistics.median(window.figures[figure] for window in newcomers))
        of_attacked = statistics.median(window.figures[figure] for window in attacked)
        limits = (median + low, median + max(high, ASIDE_RESOLUTION if figure == SET_ASIDE else resolution_ms))
        verdicts.append(Verdict(figure, median, limits, of_attacked))
    return verdicts


def undisturbed(windows: list[Window], attacks: list[str]) -> list[Window] | None:
    """The windows of which enough is left; None when they are too few to judge each of the attacks by."""
    left = [window for window in windows if window.figures[SET_ASIDE] <= MOST_ASIDE_PERCENT]
    count = Counter(window.attack for window in left)
    most = max(count[attack] for attack in attacks)
    enough = all(count[attack] >= FEWEST for attack in attacks) and count[""] >= 2 * most
    return left if enough else None


def a_round(attacks: list[str], beside: dict[str, str], *, most: str) -> list[str]:
    """The attacks of a round, before each the newcomers that it is held against: the machine is not the same for long.

    What counts `most` comes twice, where there are quiet windows enough to draw as many twice.
    """
    half = len(attacks) // 2
    once_more = [most] if half and most in attacks else []
    row: list[str] = []
    for attack in [*attacks[:half], *once_more, *attacks[half:]]:
        newcomers = beside.get(attack)
        row += [attack] if newcomers is None else [newcomers, attack]
    return row


def turns(attacks: list[str], rounds: int) -> list[str]:
    """The order of the windows: each attacked one beside a quiet one (""), the two in changing order, attacks in rotation.

    With fewer than three attacks there are quiet ones in their place: the noise needs more windows than an attack has.
    """
    order: list[str] = []
    attacks = attacks + [""] * (3 - len(attacks))
    for number in range(rounds):
        shift = number * len(attacks) // rounds
        for attack in attacks[shift:] + attacks[:shift]:
            order += [attack, ""] if len(order) // 2 % 2 else ["", attack]
    return order
