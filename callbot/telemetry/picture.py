"""The picture of one call: both voices over time, the states, the turns, and where the link or the patience broke.

One SVG without script or outside references; it follows the reader's light or dark setting.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callbot.audio import g711
from callbot.telemetry.svg import Drawing, LabelRows, text_width
from callbot.telemetry.timeline import Call

_WIDTH, _LEFT, _RIGHT = 1240, 84, 24
_PLOT: Final = _WIDTH - _LEFT - _RIGHT
_LABELS_Y: Final = (109, 92)  # baselines of the labels above the states, the nearest first
_STATES_Y, _STATES_HEIGHT = 118, 24
_CALLER_Y, _HEARD_Y = 212, 352  # the middles of the two lanes
_HALF: Final = 54  # half a uplink's height
_LATENCY_Y: Final = 282
_TURNS_Y: Final = 418
_MARKS_Y: Final = 458
_AXIS_Y: Final = 474
_LEGEND_Y: Final = (522, 546)
_HEIGHT: Final = 566
_SMALL: Final = 11  # px; the size of labels in the plot
_TICKS_S: Final = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
_TICK_ROOM: Final = 64  # px between two labels of the axis
_SAME_MOMENT_S: Final = 1.0  # a clear and the log's barge-in are one event: its mark comes back within a round trip

_STATES: Final = ("connecting", "streaming", "reconnecting", "draining")

_STYLE: Final = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; fill: #1d2430 }
.page { fill: #ffffff } .uplink { fill: #f4f6f9 } .title { font-weight: 600 } .quiet { fill: #5b6676 }
.grid { stroke: #dfe4ec; stroke-width: 1 } .axis { stroke: #8b96a6; stroke-width: 1 } .zero { stroke: #c3cbd8; stroke-width: 1 }
.caller { fill: #2f73d8 } .caller-peak { fill: #2f73d8; fill-opacity: .38 }
.heard { fill: #0f8f83 } .heard-peak { fill: #0f8f83; fill-opacity: .38 }
.connecting { fill: #e0a526 } .streaming { fill: #3fa96b } .reconnecting { fill: #dc5b4b } .draining { fill: #7d88ad }
.other { fill: #a7afbb } .on-state { fill: #ffffff; font-weight: 600 }
.turn { stroke: #0f8f83; stroke-width: 1.5; fill: none }
.latency { stroke: #8a5cd1; stroke-width: 2 } .latency-text { fill: #7440c4; font-weight: 600 }
.clear { stroke: #c2257e; stroke-width: 1.5 } .clear-text { fill: #b01c70 }
.outage { fill: #dc5b4b; fill-opacity: .22 } .outage-edge { stroke: #dc5b4b; stroke-width: 1.5 } .outage-text { fill: #b93a2b }
.mark { stroke: #8b96a6; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6eaf1 } .page { fill: #12161d } .uplink { fill: #1a2029 } .quiet { fill: #9aa6b8 }
.grid { stroke: #29313d } .axis { stroke: #6c788a } .zero { stroke: #3a4453 } .mark { stroke: #76839a }
.caller, .caller-peak { fill: #6ea8ff } .heard, .heard-peak { fill: #3cc9ba } .turn { stroke: #3cc9ba }
.latency { stroke: #b794f6 } .latency-text { fill: #c4a7fa } .clear { stroke: #f06bb2 } .clear-text { fill: #f78cc4 }
.outage-text { fill: #ff8f80 } .on-state { fill: #ffffff }
}
"""


class _Timeline:
    """One picture in the making."""

    def __init__(self, duration_s: float, call: Call | None) -> None:
        self.duration_s = duration_s
        self.call = call
        self.drawing = Drawing(_WIDTH, _HEIGHT, title=_headline(duration_s, call), style=_STYLE)
        self.drawing.rect("page", 0, 0, _WIDTH, _HEIGHT, radius=10)
        self.labels = LabelRows(len(_LABELS_Y), left=_LEFT, right=_LEFT + _PLOT)
        self.latencies = LabelRows(1, left=_LEFT, right=_LEFT + _PLOT)

    def x(self, at_s: float) -> float:
        """Where a moment lies."""
        return _LEFT + min(max(at_s / self.duration_s, 0.0), 1.0) * _PLOT

    def head(self) -> None:
        """What call this is, and how it went."""
        self.drawing.text("title", _LEFT, 38, _headline(self.duration_s, self.call), size=20)
        if self.call is not None:
            self.drawing.text("quiet", _LEFT, 60, _facts(self.call), size=13)

    def lanes(self) -> None:
        """The ground of both lanes, and the axis."""
        for name, middle in (("caller", _CALLER_Y), ("heard", _HEARD_Y)):
            self.drawing.rect("uplink", _LEFT, middle - _HALF, _PLOT, 2 * _HALF, radius=4)
            self.drawing.text(name, _LEFT - 12, middle + 4, name, size=13, anchor="end")
        step_s = next((step for step in _TICKS_S if self.duration_s / step * _TICK_ROOM <= _PLOT), _TICKS_S[-1])
        for tick in range(int(self.duration_s / step_s) + 1):
            x = self.x(tick * step_s)
            for middle in (_CALLER_Y, _HEARD_Y):
                self.drawing.line("grid", x, middle - _HALF, x, middle + _HALF)
            self.drawing.line("axis", x, _AXIS_Y, x, _AXIS_Y + 5)
            self.drawing.text("quiet", x, _AXIS_Y + 19, f"{tick * step_s:g} s", size=_SMALL, anchor="middle")
        self.drawing.line("axis", _LEFT, _AXIS_Y, _LEFT + _PLOT, _AXIS_Y)

    def voices(self, caller_mulaw: bytes, heard_mulaw: bytes) -> None:
        """Both sounds: the peaks of every px, and their RMS in a darker tone; one scale, so that levels can be compared."""
        voices = [("caller", _CALLER_Y, _samples(caller_mulaw)), ("heard", _HEARD_Y, _samples(heard_mulaw))]
        loudest = max([0.05, *(float(np.abs(samples).max(initial=0.0)) for _, _, samples in voices)])  # silence stays flat
        for name, middle, samples in voices:
            self.drawing.line("zero", _LEFT, middle, _LEFT + _PLOT, middle)
            for kind, heights in zip((f"{name}-peak", name), _envelopes(samples, self.duration_s), strict=True):
                self.drawing.path(kind, _outline(heights / loudest * (_HALF - 2), middle))

    def states(self) -> None:
        """The band of states; a name where it fits."""
        spans = [span for span in self.call.spans if span.name != "closed"] if self.call else []
        for span in sorted(spans, key=lambda each: -each.duration_ms):  # the short ones on top
            start, end = self.x(span.start_ms / 1000), self.x(span.end_ms / 1000)
            width = max(end - start, 3)  # a state that was is seen
            start = min(start, _LEFT + _PLOT - width)
            kind = span.name if span.name in _STATES else "other"
            tip = f"{span.name}: {span.duration_ms / 1000:.2f} s"
            self.drawing.rect(kind, start, _STATES_Y, width, _STATES_HEIGHT, tip=tip)
            if text_width(span.name, 12) + 10 <= width:
                self.drawing.text("on-state", (start + end) / 2, _STATES_Y + 16, span.name, size=12, anchor="middle")
        self.drawing.text("quiet", _LEFT - 12, _STATES_Y + 16, "state", size=13, anchor="end")

    def outages(self) -> None:
        """When there was no model session."""
        for outage in self.call.outages() if self.call else ():
            start_s = outage.start_ms / 1000
            end_s = self.duration_s if outage.end_ms is None else outage.end_ms / 1000
            start, end = self.x(start_s), self.x(end_s)
            self.drawing.rect("outage", start, _STATES_Y, max(end - start, 2), _TURNS_Y + 4 - _STATES_Y)
            for x in (start, end):
                self.drawing.line("outage-edge", x, _STATES_Y + _STATES_HEIGHT, x, _TURNS_Y + 4)
                self.latencies.reserve(x)

    def outage_labels(self) -> None:
        """Why each link was lost; after the cuts, whose labels are shorter and fit beside these."""
        for outage in self.call.outages() if self.call else ():
            gap_s = None if outage.end_ms is None else (outage.end_ms - outage.start_ms) / 1000
            after = "not regained" if gap_s is None else f"back after {_length(gap_s)}"
            x = self.x(outage.start_ms / 1000)
            self._label("outage-text", "outage-edge", x, f"link lost ({outage.cause}), {after}", "link lost")

    def cuts(self, clears: Sequence[tuple[float, float]]) -> None:
        """Where the caller cut in, and every other clear."""
        barge_ins = list(self.call.barge_ins) if self.call else []
        for at_s, dropped_ms in clears:
            barge_in = next((each for each in barge_ins if abs(each.at_ms / 1000 - at_s) <= _SAME_MOMENT_S), None)
            if barge_in is None:
                self._cut(at_s, f"clear, {_length(dropped_ms / 1000)} dropped")
            else:
                barge_ins.remove(barge_in)
                self._cut(at_s, f"caller cuts in, {_length(barge_in.unheard_ms / 1000)} dropped")
        for barge_in in barge_ins:
            self._cut(barge_in.at_ms / 1000, f"caller cuts in, {_length(barge_in.unheard_ms / 1000)} dropped")

    def _cut(self, at_s: float, words: str) -> None:
        x = self.x(at_s)
        self.latencies.reserve(x)
        self.drawing.line("clear", x, _STATES_Y + _STATES_HEIGHT, x, _TURNS_Y + 4)
        self._label("clear-text", "clear", x, words)

    def _label(self, text_kind: str, line_kind: str, x: float, *wordings: str) -> None:
        """The first wording that has room, with its leader."""
        for words in wordings:
            if (place := self.labels.place(x, text_width(words, _SMALL))) is not None:
                row, middle = place
                self.drawing.line(line_kind, x, _LABELS_Y[row] + 3, x, _STATES_Y)
                self.drawing.text(text_kind, middle, _LABELS_Y[row], words, size=_SMALL, anchor="middle")
                return

    def turns(self) -> None:
        """Each turn as a bracket under what was heard, and its latency between the voices."""
        names = LabelRows(1, left=_LEFT, right=_LEFT + _PLOT)
        self.drawing.text("quiet", _LEFT - 12, _TURNS_Y + 10, "turns", size=13, anchor="end")
        self.drawing.text("quiet", _LEFT - 12, _LATENCY_Y + 4, "answer", size=13, anchor="end")
        for turn in self.call.turns.values() if self.call else ():
            start_ms = turn.heard_at_ms if turn.heard_at_ms is not None else turn.speaking_ms
            if start_ms is None:
                continue
            start_s = start_ms / 1000
            end_s = self.duration_s if turn.ended_at_ms is None else turn.ended_at_ms / 1000
            start, end = self.x(start_s), max(self.x(end_s), self.x(start_s) + 2)
            self.drawing.path("turn", f"M{start:.1f} {_TURNS_Y}v8H{end:.1f}v-8", tip=f"turn {turn.number}")
            self._turn_name(names, turn.number, turn.heard_ms, (start + end) / 2)
            if turn.latency_ms is not None:
                self._latency(start_s, turn.latency_ms)

    def _turn_name(self, names: LabelRows, number: int, heard_ms: float | None, middle: float) -> None:
        heard = "" if heard_ms is None else f", {heard_ms / 1000:.1f} s"
        for words in (f"turn {number}{heard}", str(number)):
            if (place := names.place(middle, text_width(words, _SMALL))) is not None:
                self.drawing.text("heard", place[1], _TURNS_Y + 22, words, size=_SMALL, anchor="middle")
                return

    def _latency(self, heard_at_s: float, latency_ms: float) -> None:
        start, end = self.x(heard_at_s - latency_ms / 1000), self.x(heard_at_s)
        self.drawing.line("latency", start, _LATENCY_Y, end, _LATENCY_Y)
        for x in (start, end):
            self.drawing.line("latency", x, _LATENCY_Y - 5, x, _LATENCY_Y + 5)
        words = f"{latency_ms:.0f} ms"
        width = text_width(words, _SMALL)
        if (place := self.latencies.place(end + 8 + width / 2, width)) is not None and place[1] - width / 2 >= end + 4:
            self.drawing.text("latency-text", place[1], _LATENCY_Y + 4, words, size=_SMALL, anchor="middle")

    def marks(self, marks: Sequence[tuple[float, str]]) -> None:
        """A tick for every mark that came back."""
        self.drawing.text("quiet", _LEFT - 12, _MARKS_Y + 8, "marks", size=13, anchor="end")
        for at_s, _name in marks:
            x = self.x(at_s)
            self.drawing.line("mark", x, _MARKS_Y, x, _MARKS_Y + 8)

    def legend(self) -> None:
        """What the colours say."""
        x = float(_LEFT)
        for kind, words in (("caller", "the caller"), ("heard", "what the caller heard")):
            x = self._legend_box(kind, x, _LEGEND_Y[0], words)
        for kind, words in (
            ("latency", "from the last word to the answer"),
            ("clear", "playback cleared"),
            ("mark", "mark: played until here"),
        ):
            if kind == "latency":
                self.drawing.line(kind, x, _LEGEND_Y[0] - 4, x + 12, _LEGEND_Y[0] - 4)
            else:
                self.drawing.line(kind, x + 6, _LEGEND_Y[0] - 10, x + 6, _LEGEND_Y[0] + 2)
            x = self._legend_words(x, _LEGEND_Y[0], words)
        if self.call is not None and self.call.outages():
            self._legend_box("outage", x, _LEGEND_Y[0], "no model session")
        x = float(_LEFT)
        seen = {span.name for span in self.call.spans} if self.call else set()
        for name in _STATES:
            if name in seen:
                x = self._legend_box(name, x, _LEGEND_Y[1], name)

    def _legend_box(self, kind: str, x: float, y: float, words: str) -> float:
        self.drawing.rect(kind, x, y - 10, 12, 12, radius=2)
        return self._legend_words(x, y, words)

    def _legend_words(self, x: float, y: float, words: str) -> float:
        self.drawing.text("quiet", x + 18, y, words, size=_SMALL)
        return x + 18 + text_width(words, _SMALL) + 14


def draw_timeline(
    call: Call | None,
    caller_mulaw: bytes,
    heard_mulaw: bytes,
    marks: Sequence[tuple[float, str]] = (),
    clears: Sequence[tuple[float, float]] = (),
) -> str:
    """The SVG of a call. Both sounds are mu-law at 8 kHz from the stream's start; without a `call` only they are drawn.

    `marks` are (seconds, name) of those that came back, `clears` (seconds, ms of audio thrown away).
    """
    sound_s = max(len(caller_mulaw), len(heard_mulaw)) / g711.SAMPLE_RATE_HZ
    called_s = call.duration_ms / 1000 if call else 0.0
    timeline = _Timeline(max(sound_s, called_s, 1.0), call)
    timeline.head()
    timeline.lanes()
    timeline.outages()
    timeline.states()
    timeline.voices(caller_mulaw, heard_mulaw)
    timeline.cuts(clears)
    timeline.outage_labels()
    timeline.turns()
    timeline.marks(marks)
    timeline.legend()
    return timeline.drawing.to_text()


def _headline(duration_s: float, call: Call | None) -> str:
    caller = f" from {call.caller}" if call and call.caller else ""
    return f"A call of {duration_s:.1f} s{caller}"


def _facts(call: Call) -> str:
    facts = [call.model, f"{call.outcome}{f' ({call.reason})' if call.reason else ''}"]
    facts.append(f"{len(call.turns)} turns, {len(call.barge_ins)} cut short")
    if call.latencies_ms:
        facts.append(f"answers after {median(call.latencies_ms):.0f} ms (median)")
    if outages := call.outages():
        facts.append("link lost once" if len(outages) == 1 else f"link lost {len(outages)} times")
    return "  \N{MIDDLE DOT}  ".join(fact for fact in facts if fact)


def _length(value_s: float) -> str:
    return f"{value_s * 1000:.0f} ms" if value_s < 1 else f"{value_s:.1f} s"


def _samples(mulaw: bytes) -> NDArray[np.float64]:
    """The samples, 1.0 being full scale."""
    return np.frombuffer(g711.decode(mulaw), np.int16).astype(np.float64) / 32768


def _envelopes(samples: NDArray[np.float64], duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Peak and RMS of what falls on each px of the plot."""
    edges = np.linspace(0, duration_s * g711.SAMPLE_RATE_HZ, _PLOT + 1).astype(int)
    columns = [samples[start:end] for start, end in pairwise(edges)]
    peaks = np.array([np.abs(column).max(initial=0.0) for column in columns])
    rms = np.array([np.sqrt(np.mean(column**2)) if column.size else 0.0 for column in columns])
    return peaks, rms


def _outline(heights: NDArray[np.float64], middle: float) -> str:
    """A closed outline, mirrored at the middle, one point a px."""
    upper = " ".join(f"{_LEFT + index + 0.5:g} {middle - height:.1f}" for index, height in enumerate(heights))
    lower = " ".join(f"{_LEFT + index + 0.5:g} {middle + heights[index]:.1f}" for index in reversed(range(len(heights))))
    return f"M{upper} L{lower}Z"
