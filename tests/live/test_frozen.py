"""Sessions that are silent without an error, each kind that was seen in the field: the call finds its voice again.

The limits are a fifth of the usual ones. What counts is what the caller hears: a turn after the silence, comfort in between,
and at most one answer to a nudge.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import Fault, Parrot, Prompt, StandInOptions
from callbot.simulators.gemini.brains import Say, Step
from callbot.simulators.gemini.faults import Freeze, Interrupt, Withhold
from callbot.simulators.gemini.resumption import Conversation
from callbot.simulators.gemini.triggers import ModelAudio, OnInterrupted, OnReady, OnSpeechEnd, OnTurnComplete
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import CallReport, Line
from tests.live.exchange import exchange
from tests.live.test_no_model import longest_silence_ms

pytestmark = pytest.mark.live

LIMITS = {"first_audio_s": 0.8, "turn_gap_s": 0.6, "comfort_after_s": 0.5, "vad_silence_ms": 300}
WORDS = voices.caller("number")[2_000:11_000]
# From the fault on: 0.5 s until the pause is certain, 0.8 s, the nudge, 0.8 s, the move, 1.5 s, the nudge: 4 s, or 4 s more
# for a second move.
RECOVERED_WITHIN_MS = 8_000
DEAD_AIR_MS = 4_000


@dataclass(frozen=True)
class Mute(Parrot):
    """A parrot whose first answer to the caller is `answer`: nothing, or nothing that can be heard."""

    answer_once: Sequence[Step] = ()
    spent: list[bool] = field(default_factory=list)

    def answer(self, prompt: Prompt, conversation: Conversation) -> Sequence[Step] | None:
        if prompt.kind == "audio" and not self.spent:
            self.spent.append(True)
            return self.answer_once
        return super().answer(prompt, conversation)


@dataclass(frozen=True)
class Kind:
    """One way of falling silent. `heard_before`: turns that the caller hears before the silence."""

    heard_before: int
    faults: tuple[Fault, ...] = ()
    brain: Parrot = field(default_factory=lambda: Parrot(greeting=tone(440.0, 0.3), min_answer_s=1.0))
    barges_in: bool = False


GREETING = tone(440.0, 0.3)
KINDS = {
    "in mid-sentence": Kind(2, (Fault(ModelAudio(400, turn=2), Freeze(), connection=1),)),
    "after a barge-in": Kind(2, (Fault(OnInterrupted(), Freeze(), connection=1),), barges_in=True),
    "after the caller's words": Kind(1, (Fault(OnSpeechEnd(), Freeze(), connection=1),)),
    "until it is written to": Kind(1, (Fault(OnSpeechEnd(), Freeze(until_text=True), connection=1),)),
    "from the beginning": Kind(0, (Fault(OnReady(), Freeze(), connection=1),)),
    "after a phantom interruption": Kind(
        1, (Fault(OnTurnComplete(1), Interrupt(), connection=1), Fault(OnInterrupted(), Freeze(), connection=1))
    ),
    "a turn without content": Kind(1, brain=Mute(greeting=GREETING)),
    "a turn of zeros": Kind(2, brain=Mute(greeting=GREETING, answer_once=(Say(bytes(24_000)),))),
}


async def frozen_call(name: str, kind: Kind) -> tuple[str, int, int, int, CallReport]:
    """One call; how long the silence was, how many nudges were answered, how many sessions it took."""
    options = StandInOptions(brain=kind.brain, faults=kind.faults, answer_delay_s=0.05)
    async with exchange(options, **LIMITS) as line_up:
        silent_from_ms = recovered_ms = 0

        async def script(line: Line) -> None:
            nonlocal silent_from_ms, recovered_ms
            if kind.heard_before:
                await line.wait_until_bot_speaks()
                await line.wait_until_bot_quiet(300)
                if "phantom" not in name:
                    await line.speak(WORDS)
            if kind.barges_in:
                await line.wait_until_bot_speaks()
                await line.barge_in(WORDS, after_ms=200)
            silent_from_ms = line.elapsed_ms
            while (
                len(line_up.log("turn.heard")) <= kind.heard_before and line.elapsed_ms < silent_from_ms + RECOVERED_WITHIN_MS
            ):
                await line.silence(40)
            recovered_ms = line.elapsed_ms
            await line.silence(600)  # for a second nudge's answer, should there be one

        report = await line_up.carrier.call(script)
    [summary] = line_up.log("call.summary")
    assert summary["outcome"] == "completed", name
    nudged = [turn for session in line_up.standin.sessions for turn in session.turns if turn.prompt == "text" and turn.pcm]
    greetings = 1  # one text, the first one, asked for the greeting
    return name, recovered_ms - silent_from_ms, len(nudged) - greetings, len(line_up.standin.sessions), report


async def silent_sessions() -> None:
    done = await asyncio.gather(*(frozen_call(name, kind) for name, kind in KINDS.items()))
    for name, silent_ms, nudges, sessions, report in done:
        dead_air_ms = longest_silence_ms(report)
        print(
            f"\n{name}: {silent_ms} ms to the next voice, {nudges} nudge(s) answered, {sessions} session(s), "
            f"dead air at most {dead_air_ms} ms",
            end="",
        )
    for name, silent_ms, nudges, _, report in done:
        assert silent_ms < RECOVERED_WITHIN_MS, name
        assert nudges <= 1, name
        assert longest_silence_ms(report) < DEAD_AIR_MS, name
        assert report.protocol_faults == (), name


async def endless_turns() -> None:
    withheld = ("generationComplete", "turnComplete")
    endless = tuple(Fault(OnReady(), Withhold(kind), times=None) for kind in withheld)  # type: ignore[arg-type]
    brain = Parrot(greeting=GREETING, min_answer_s=1.0)
    async with exchange(StandInOptions(brain=brain, faults=endless, answer_delay_s=0.05), **LIMITS) as line_up:

        async def script(line: Line) -> None:
            await line.wait_until_bot_speaks()
            for answers in (1, 2):
                await line.wait_until_bot_quiet(300)
                await line.speak(WORDS)
                await line_up.standin.wait_for(lambda answers=answers: spoken("audio") >= answers, 20)
            await line.silence(2_000)  # for what watchdogs may still think of it

        def spoken(prompt: str) -> int:
            turns = (turn for session in line_up.standin.sessions for turn in session.turns)
            return sum(turn.prompt == prompt and turn.audio_ms >= 300 for turn in turns)

        report = await line_up.carrier.call(script)
    assert report.script_failure == ""
    assert [utterance.latency_ms is not None for utterance in report.utterances] == [True, True]
    print(f"\n{spoken('text') - 1} nudge(s) answered in {len(line_up.standin.sessions)} session(s)")
    assert spoken("text") - 1 <= 1


async def test_a_session_that_falls_silent_is_noticed_and_the_call_finds_its_voice() -> None:
    await asyncio.gather(silent_sessions(), endless_turns())
