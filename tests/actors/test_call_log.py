"""The call_log: each line when it is due, with its fields; one summary; secrets and words kept out."""

from collections.abc import Callable
from typing import Any

import pytest

from callbot.actors.call_log import CallLog
from callbot.actors.call_metrics import CallMetrics
from callbot.actors.figures import Figures, cost_usd
from callbot.actors.signs import LifeSigns
from callbot.actors.uplink import Uplink
from callbot.brief import Prices
from callbot.effects import Moved, OpenSession, Report, StartTimer
from callbot.messages.call import (
    Beat,
    CallerPaused,
    KeyPressed,
    StreamFault,
    StreamStarted,
    TurnFirstHeard,
    TurnPlayed,
    TurnSpeaking,
)
from callbot.messages.session import (
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    ModelUsage,
    SessionLost,
    SessionReady,
    ToolCalled,
    Transcribed,
    TurnCompleted,
    TurnStarted,
)
from callbot.messages.terms import Child, Decision, Outcome, Plan, Timer
from tests.actors.whole_call import LogLines


class Counted(CallMetrics):
    """Metrics that keep what they were told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def call_started(self) -> None:
        self.calls.append(("call_started",))

    def call_ended(self, outcome: str, duration_s: float) -> None:
        self.calls.append(("call_ended", outcome, duration_s))

    def turn_heard(self, latency_s: float | None) -> None:
        self.calls.append(("turn_heard", latency_s))

    def barge_in(self) -> None:
        self.calls.append(("barge_in",))

    def session_opened(self, plan: str, setup_s: float) -> None:
        self.calls.append(("session_opened", plan, setup_s))

    def session_lost(self, cause: str) -> None:
        self.calls.append(("session_lost", cause))

    def recovered(self, after_s: float) -> None:
        self.calls.append(("recovered", after_s))

    def stream_fault(self, fault: str) -> None:
        self.calls.append(("stream_fault", fault))

    def tokens_used(self, kind: str, count: int) -> None:
        self.calls.append(("tokens_used", kind, count))

    def text_turn(self) -> None:
        self.calls.append(("text_turn",))

    def audio(self, frames_in: int, frames_out: int, dropped_ms: int) -> None:
        self.calls.append(("audio", frames_in, frames_out, dropped_ms))


class Desk:
    """A call_log with a clock to set; the call began at 100 s."""

    def __init__(self, *, log_transcripts: bool = False, redact: Callable[[str], str] = lambda text: text) -> None:
        self.now_s = 100.0
        self.log = LogLines()
        self.metrics = Counted()
        self.signs = LifeSigns()
        self.uplink = Uplink(cap_s=1.0)
        self.call_log = CallLog(
            log=self.log.bind(call_sid="CA1", stream_sid="MZ1"),
            metrics=self.metrics,
            signs=self.signs,
            uplink=self.uplink,
            clock=lambda: self.now_s,
            began_s=100.0,
            log_transcripts=log_transcripts,
            prices=Prices(0.005, 0.018),
            playout_ms=lambda: 240,
            redact=redact,
            context={"model": "m", "backend": "gemini"},
        )

    def last(self) -> tuple[str, str, dict[str, Any]]:
        level, event, fields = self.log.lines[-1]
        fields = {name: value for name, value in fields.items() if name not in {"call_sid", "stream_sid", "state", "t_ms"}}
        return level, event, fields


@pytest.fixture
def desk() -> Desk:
    return Desk()


STARTED = StreamStarted("CA1", "MZ1", "AC1", 100.0, caller="***5310", stream_no=2, parameters={"secret": "x"})


@pytest.mark.parametrize(
    ("message", "level", "event", "fields"),
    [
        (STARTED, "info", "call.started", {"caller": "***5310", "stream_no": 2, "model": "m", "backend": "gemini"}),
        (SessionReady(1, Plan.NEW, 310, 100.5), "info", "session.ready", {"session_no": 1, "plan": "new", "setup_ms": 310}),
        (GoAway(1, 9.5, 101.0), "info", "session.go_away", {"time_left_s": 9.5}),
        (TurnStarted(4, 101.0), "info", "turn.started", {"turn": 4}),
        (TurnSpeaking(4, 101.0), "info", "turn.speaking", {"turn": 4, "latency_ms": None}),
        (TurnFirstHeard(4, 101.0), "info", "turn.heard", {"turn": 4, "latency_ms": None}),
        (CallerPaused(101.0, 900, 101.5), "info", "caller.speech", {"speech_ms": 900}),
        (CallerPaused(101.0, 0, 101.5), "info", "caller.noise", {}),
        (KeyPressed("7", 101.0), "info", "caller.dtmf", {"digit": "*"}),
        (ToolCalled(1, "f1", "look_up", {"card": "4111"}, 101.0), "info", "tool.called", {"tool": "look_up"}),
        (StreamFault("not_json"), "warning", "stream.fault", {"fault": "not_json"}),
        (
            TurnPlayed(4, 800, 800, cleared=False, at_s=102.0),
            "info",
            "turn.ended",
            {"turn": 4, "audio_ms": 800, "heard_ms": 800, "interrupted": False},
        ),
        (
            SessionLost(1, Decision.RESUME, "close_1011_internal", 1011, "Internal", 102.0),
            "warning",
            "session.lost",
            {"session_no": 1, "cause": "close_1011_internal", "code": 1011, "decision": "resume", "detail": "Internal"},
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | dict) else None,
)
def test_each_message_has_its_line(desk: Desk, message: Any, level: str, event: str, fields: dict[str, Any]) -> None:
    desk.call_log.seen(message)
    assert desk.last() == (level, event, fields)


@pytest.mark.parametrize("message", [HandleRenewed(1, "secret"), ModelUsage(1, 2), Transcribed("bot", "hello", 1)])
def test_what_nobody_should_read_has_no_line(desk: Desk, message: Any) -> None:
    desk.call_log.seen(message)
    assert desk.log.lines == []


def test_every_line_names_the_call_its_state_and_its_time(desk: Desk) -> None:
    desk.now_s = 101.25
    desk.call_log.done(Moved("connecting", "streaming", "session_ready"))
    desk.now_s = 102.0
    desk.call_log.seen(TurnStarted(1, 102.0))
    moved, started = desk.log.lines
    assert moved == (
        "info",
        "call.state",
        {
            "call_sid": "CA1",
            "stream_sid": "MZ1",
            "state": "streaming",
            "t_ms": 1250,
            "from": "connecting",
            "to": "streaming",
            "reason": "session_ready",
            "after_ms": 1250,
        },
    )
    assert started[2] == {"call_sid": "CA1", "stream_sid": "MZ1", "state": "streaming", "t_ms": 2000, "turn": 1}


def test_words_are_written_only_when_asked_for_and_masked() -> None:
    desk = Desk(log_transcripts=True, redact=lambda text: text.replace("4111", "****"))
    for fragment in ("my card", " is 41", "11"):
        desk.call_log.seen(Transcribed("caller", fragment, 0))
    assert desk.log.lines == []  # in pieces it could not be known for what it is
    desk.call_log.seen(Transcribed("bot", "thank you", 1))
    assert desk.last() == ("info", "transcript", {"role": "caller", "text": "my card is ****"})
    desk.call_log.seen(TurnCompleted(1, audible=True, reason="", at_s=101.0))
    assert desk.last() == ("info", "transcript", {"role": "bot", "text": "thank you"})
    desk.call_log.seen(KeyPressed("7", 101.0))
    assert desk.last()[2] == {"digit": "7"}


def test_latency_is_from_the_callers_last_sound_to_what_twilio_plays(desk: Desk) -> None:
    desk.call_log.seen(CallerPaused(ended_s=110.0, speech_ms=900, at_s=110.5))
    desk.call_log.seen(TurnSpeaking(1, 110.75))
    assert desk.last()[2] == {"turn": 1, "latency_ms": 750}
    desk.call_log.seen(TurnFirstHeard(1, 110.875))
    assert desk.last()[2] == {"turn": 1, "latency_ms": 875}
    assert ("turn_heard", 0.875) in desk.metrics.calls
    desk.call_log.seen(TurnFirstHeard(2, 112.0))  # nobody had asked for this one
    assert desk.last()[2] == {"turn": 2, "latency_ms": None}


@pytest.mark.parametrize("heard_s", [109.0, 141.0])
def test_what_cannot_be_an_answer_has_no_latency(desk: Desk, heard_s: float) -> None:
    desk.call_log.seen(CallerPaused(ended_s=110.0, speech_ms=900, at_s=110.5))
    desk.call_log.seen(TurnFirstHeard(1, heard_s))
    assert desk.last()[2]["latency_ms"] is None


def test_a_barge_in_is_a_turn_that_was_interrupted_and_cleared(desk: Desk) -> None:
    desk.call_log.seen(ModelInterrupted(3, 110.0))
    desk.call_log.seen(TurnPlayed(3, 6000, 500, cleared=True, at_s=110.0))
    assert [(event, fields) for _, event, fields in (desk.log.lines[0], desk.last())] == [
        ("barge_in", {"call_sid": "CA1", "stream_sid": "MZ1", "state": "connecting", "t_ms": 0, "turn": 3, "unheard_ms": 5500}),
        ("turn.ended", {"turn": 3, "audio_ms": 6000, "heard_ms": 500, "interrupted": True}),
    ]
    desk.call_log.seen(TurnPlayed(4, 300, 300, cleared=False, at_s=112.0))
    desk.call_log.seen(ModelInterrupted(4, 113.0))
    assert desk.metrics.calls.count(("barge_in",)) == 1


def test_a_fault_is_one_line_a_kind_and_counted_each_time(desk: Desk) -> None:
    for kind in ("not_json", "binary", "not_json", "not_json"):
        desk.call_log.seen(StreamFault(kind))
    assert [fields["fault"] for _, _, fields in desk.log.lines] == ["not_json", "binary"]
    desk.call_log.summary(Outcome.COMPLETED, "x")
    assert desk.last()[2]["faults"] == {"not_json": 3, "binary": 1}


def test_a_session_that_was_closed_by_us_at_the_end_is_no_loss(desk: Desk) -> None:
    desk.call_log.done(Moved("streaming", "draining", "caller_hung_up"))
    desk.call_log.seen(SessionLost(1, Decision.RESUME, "closed_by_us", 1000, "", 105.0))
    assert desk.last() == ("info", "session.closed", {"session_no": 1})
    desk.call_log.summary(Outcome.COMPLETED, "x")
    assert desk.last()[2]["sessions_lost"] == 0


def test_a_recovery_is_timed_from_the_first_loss_to_the_next_ready(desk: Desk) -> None:
    call_log = desk.call_log
    call_log.done(Moved("connecting", "streaming", "session_ready"))
    call_log.seen(SessionLost(1, Decision.RESUME, "close_1006_link_lost", 1006, "", 110.0))
    call_log.done(Moved("streaming", "reconnecting", "close_1006_link_lost"))
    call_log.seen(SessionLost(2, Decision.WAIT, "http_503", 503, "", 110.5))
    call_log.seen(SessionReady(3, Plan.RESUME, 300, 111.25))
    assert ("recovered", 1.25) in desk.metrics.calls
    call_log.summary(Outcome.COMPLETED, "x")
    summary = desk.last()[2]
    assert (summary["sessions_lost"], summary["reconnects"], summary["recovery_max_ms"]) == (2, 1, 1250)


def test_a_move_is_a_loss_that_is_no_warning(desk: Desk) -> None:
    desk.call_log.done(Moved("streaming", "reconnecting", "go_away"))
    desk.call_log.seen(SessionLost(1, Decision.RESUME, "closed_by_us", 1000, "", 105.0))
    assert desk.last()[:2] == ("info", "session.lost")


def test_effects_that_are_lines_are_written_and_others_are_not(desk: Desk) -> None:
    desk.call_log.done(OpenSession(2, Plan.RESUME, 0, 5, 0.25, "secret"))
    assert desk.last() == ("info", "session.opening", {"session_no": 2, "plan": "resume", "after_ms": 250})
    before = len(desk.log.lines)
    desk.call_log.done(StartTimer(Timer.IDLE, 1.0))
    assert len(desk.log.lines) == before


def test_a_crash_names_the_child_and_the_error(desk: Desk) -> None:
    error = ValueError("x" * 500)
    desk.call_log.child_crashed(Child.TRANSCODER, error)
    level, event, fields = desk.last()
    assert (level, event, fields["child"], fields["exc_info"]) == ("error", "child.crashed", "transcoder", error)
    assert len(fields["error"]) == 200


def test_the_progress_line_counts_what_passed(desk: Desk) -> None:
    desk.signs.frames_in, desk.signs.frames_out, desk.signs.uplink_ms = 50, 40, 980
    desk.uplink.push(bytes(640 * 3))
    desk.call_log.seen(Beat(110.0))
    assert desk.last() == (
        "info",
        "call.progress",
        {
            "frames_in": 50,
            "frames_out": 40,
            "uplink_ms": 980,
            "backlog_ms": 60,
            "playout_ms": 240,
            "caller_dropped_ms": 0,
            "caller_gap_ms": 0,
            "turns": 0,
            "barge_ins": 0,
            "sessions_lost": 0,
            "faults": 0,
        },
    )


def test_the_summary_is_written_once_and_adds_everything_up(desk: Desk) -> None:
    call_log = desk.call_log
    call_log.seen(STARTED)
    for latency_s in (0.5, 0.75, 1.0, 1.25):
        call_log.seen(CallerPaused(ended_s=110.0, speech_ms=900, at_s=110.5))
        call_log.seen(TurnFirstHeard(1, 110.0 + latency_s))
    call_log.seen(ModelUsage(10, 20))
    call_log.seen(ModelUsage(1, 2))
    call_log.seen(ToolCalled(1, "f1", "x", {}, 1.0))
    desk.now_s = 101.0
    call_log.done(Moved("connecting", "streaming", "session_ready"))
    desk.now_s = 104.0
    call_log.done(Moved("streaming", "reconnecting", "x"))
    desk.now_s = 104.5
    call_log.done(Moved("reconnecting", "streaming", "session_ready"))
    desk.now_s = 106.0
    call_log.done(Report(Outcome.COMPLETED, "caller_hung_up"))
    _, event, summary = desk.last()
    assert event == "call.summary"
    assert (summary["outcome"], summary["reason"], summary["duration_ms"]) == ("completed", "caller_hung_up", 6000)
    assert summary["states"] == {"connecting": 1000, "streaming": 4500, "reconnecting": 500}
    assert (summary["latency_p50_ms"], summary["latency_p95_ms"]) == (750, 1250)
    assert (summary["prompt_tokens"], summary["response_tokens"], summary["tools"]) == (11, 22, 1)
    lines = len(desk.log.lines)
    call_log.summary(Outcome.FAILED, "cancelled")
    assert len(desk.log.lines) == lines
    assert desk.metrics.calls.count(("call_ended", "completed", 6.0)) == 1


def test_a_call_without_an_answer_has_no_latency(desk: Desk) -> None:
    desk.call_log.summary(Outcome.COMPLETED, "x")
    summary = desk.last()[2]
    assert (summary["latency_p50_ms"], summary["latency_p95_ms"], summary["recovery_max_ms"]) == (None, None, None)


def test_the_summary_estimates_what_the_model_cost(desk: Desk) -> None:
    desk.signs.uplink_ms = 180_000  # three minutes in, one minute out
    desk.signs.frames_out = 3_000

    desk.call_log.summary(Outcome.COMPLETED, "x")

    assert desk.last()[2]["cost_usd"] == pytest.approx(3 * 0.005 + 0.018)


def test_with_prices_of_tokens_the_summary_says_what_was_billed() -> None:
    usage = ModelUsage(1000, 500, thoughts_tokens=100, tool_tokens=50, cached_tokens=700, prompt_text_tokens=200)
    figures = Figures(0.0)
    figures.count(usage)
    figures.count(usage)
    prices = (("audio_in", 3.0), ("text_in", 0.5), ("audio_out", 12.0), ("text_out", 2.0))
    expected = 2 * (800 * 3 + 250 * 0.5 + 500 * 12 + 100 * 2) / 1e6
    assert cost_usd(figures, 60_000, 3_000, Prices(per_mtok=prices)) == pytest.approx(expected)
    cached = 2 * (100 * 3 + 700 * 0.3 + 250 * 0.5 + 500 * 12 + 100 * 2) / 1e6
    assert cost_usd(figures, 60_000, 3_000, Prices(per_mtok=(*prices, ("cached", 0.3)))) == pytest.approx(cached)


def test_a_turn_of_text_alone_is_counted_and_is_one_line(desk: Desk) -> None:
    desk.call_log.seen(TurnCompleted(0, audible=False, reason="", at_s=1.0, only_text=True))
    assert desk.last()[:2] == ("warning", "turn.only_text")
    assert ("text_turn",) in desk.metrics.calls
    desk.call_log.summary(Outcome.COMPLETED, "x")
    assert desk.last()[2]["text_turns"] == 1


def test_every_kind_of_token_is_counted(desk: Desk) -> None:
    desk.call_log.seen(ModelUsage(10, 20, thoughts_tokens=3, tool_tokens=4, cached_tokens=5))
    counted = [call[1:] for call in desk.metrics.calls if call[0] == "tokens_used"]
    assert counted == [("prompt", 10), ("response", 20), ("thoughts", 3), ("tool", 4), ("cached", 5)]
    desk.call_log.summary(Outcome.COMPLETED, "x")
    summary = desk.last()[2]
    assert (summary["thoughts_tokens"], summary["tool_tokens"], summary["cached_tokens"]) == (3, 4, 5)


def test_the_services_reason_for_a_turns_end_is_a_line_when_there_is_one(desk: Desk) -> None:
    before = len(desk.log.lines)
    desk.call_log.seen(TurnCompleted(3, audible=True, reason="", at_s=1.0))
    assert len(desk.log.lines) == before
    desk.call_log.seen(TurnCompleted(4, audible=False, reason="GENERATED_AUDIO_SAFETY", at_s=1.0))
    level, event, fields = desk.last()
    assert (level, event, fields["turn"], fields["reason"]) == ("warning", "turn.completed", 4, "GENERATED_AUDIO_SAFETY")
