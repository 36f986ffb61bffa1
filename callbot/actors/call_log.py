"""The log of one call: every line that it writes.

It watches what `CallActor` sees (messages, moves, effects) and decides nothing. What is added up is in `figures`, how long
callers wait in `latency`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from callbot.actors.call_metrics import CallMetrics
from callbot.actors.figures import Figures, cost_usd
from callbot.actors.latency import Latency
from callbot.actors.signs import LifeSigns
from callbot.actors.uplink import Uplink
from callbot.brief import Prices
from callbot.effects import Effect, Moved, OpenSession, Report
from callbot.messages.call import (
    Beat,
    CallerPaused,
    CallMessage,
    KeyPressed,
    StreamFault,
    StreamStarted,
    TurnFirstHeard,
    TurnPlayed,
    TurnSpeaking,
)
from callbot.messages.session import (
    AnswerGrounded,
    GoAway,
    ModelInterrupted,
    ModelUsage,
    SessionLost,
    SessionReady,
    ToolCalled,
    Transcribed,
    TurnCompleted,
    TurnStarted,
)
from callbot.messages.terms import Child, Outcome

# What is said without a pause or an answer; longer is cut at its beginning.
_LONGEST_LINE: Final = 2_000


class CallLog:
    """Writes one call's lines. `log` is bound to the call; `clock` is the loop's monotonic one."""

    def __init__(
        self,
        *,
        log: Any,
        metrics: CallMetrics,
        signs: LifeSigns,
        uplink: Uplink,
        clock: Callable[[], float],
        began_s: float,
        log_transcripts: bool,
        prices: Prices,
        playout_ms: Callable[[], int],
        redact: Callable[[str], str],
        context: dict[str, str],
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._signs = signs
        self._uplink = uplink
        self._clock = clock
        self._log_transcripts = log_transcripts
        self._prices = prices
        self._playout_ms = playout_ms
        self._redact = redact
        self._context = context
        self._figures = Figures(began_s)
        self._latency = Latency()
        self._interrupted: set[int] = set()
        self._without: frozenset[str] = frozenset()
        self._reported = False
        self._saying: Transcribed | None = None

    def seen(self, message: CallMessage) -> None:
        """A message has come, and is not answered yet."""
        self._figures.count(message)
        match message:
            case StreamStarted():
                self._metrics.call_started()
                self._line("info", "call.started", caller=message.caller, stream_no=message.stream_no, **self._context)
            case SessionReady(session_no=session_no, plan=plan, setup_ms=setup_ms, at_s=at_s):
                self._metrics.session_opened(plan.value, setup_ms / 1000)
                self._line("info", "session.ready", session_no=session_no, plan=plan.value, setup_ms=setup_ms)
                if (after_s := self._figures.recovered(at_s)) is not None:
                    self._metrics.recovered(after_s)
            case SessionLost():
                self._session_lost(message)
            case GoAway(time_left_s=time_left_s):
                self._line("info", "session.go_away", time_left_s=time_left_s)
            case TurnStarted(turn=turn):
                self._line("info", "turn.started", turn=turn)
            case TurnSpeaking(turn=turn, at_s=at_s):
                self._line("info", "turn.speaking", turn=turn, latency_ms=self._latency.at(at_s))
            case TurnFirstHeard(turn=turn, at_s=at_s):
                latency_ms = self._latency.answered(at_s)
                self._metrics.turn_heard(None if latency_ms is None else latency_ms / 1000)
                self._line("info", "turn.heard", turn=turn, latency_ms=latency_ms)
            case ModelInterrupted(turn=turn):
                self._interrupted.add(turn)
            case TurnPlayed():
                self._played(message)
            case CallerPaused(speech_ms=0):
                self._line("info", "caller.noise")  # what was taken for speech and never paused
            case CallerPaused(ended_s=ended_s, speech_ms=speech_ms):
                self._latency.caller_ended(ended_s)
                self._line("info", "caller.speech", speech_ms=speech_ms)
            case KeyPressed(digit=digit):
                self._line("info", "caller.dtmf", digit=digit if self._log_transcripts else "*")
            case Transcribed() if self._log_transcripts:
                self._transcribed(message)
            case TurnCompleted(turn=turn, reason=reason):
                self._end_transcript()
                if reason:  # said when it is unusual: rejected, blocked for safety, a malformed call
                    self._line("warning", "turn.completed", turn=turn, reason=reason[:60])
                if message.only_text:
                    self._metrics.text_turn()
                    self._line("warning", "turn.only_text")
            case AnswerGrounded(queries=queries, sources=sources):
                looked_for = {"queries": [self._redact(query) for query in queries]} if self._log_transcripts else {}
                self._line("info", "turn.grounded", searches=len(queries), sources=list(sources), **looked_for)
            case ToolCalled(name=name):
                self._line("info", "tool.called", tool=name)
            case ModelUsage():
                for kind in ("prompt", "response", "thoughts", "tool", "cached"):
                    if count := getattr(message, f"{kind}_tokens"):
                        self._metrics.tokens_used(kind, count)
            case StreamFault(fault=fault):
                self.fault(fault)
            case Beat():
                self._progress()
            case _:
                pass

    def done(self, effect: Effect) -> None:
        """An effect is being carried out."""
        match effect:
            case Moved(origin=origin, dest=dest, reason=reason):
                self._moved(origin, dest, reason)
            case OpenSession(session_no=session_no, plan=plan, after_s=after_s, without=without):
                after_ms = int(after_s * 1000)
                if without - self._without:  # once for each: the line of the loss before says what to do about it
                    self._line("warning", "session.part_left_out", parts=sorted(without))
                self._without = without
                self._line("info", "session.opening", session_no=session_no, plan=plan.value, after_ms=after_ms)
            case Report(outcome=outcome, reason=reason):
                self.summary(outcome, reason)
            case _:
                pass

    def fault(self, kind: str) -> None:
        """Count a fault; the first of its kind is a line."""
        self._figures.faults[kind] += 1
        self._metrics.stream_fault(kind)
        if self._figures.faults[kind] == 1:
            self._line("warning", "stream.fault", fault=kind)

    def child_crashed(self, child: Child, error: Exception) -> None:
        """A child has failed; its end comes as a message besides."""
        self._line("error", "child.crashed", child=child.value, error=f"{type(error).__name__}: {error}"[:200], exc_info=error)

    def summary(self, outcome: Outcome, reason: str) -> None:
        """The one line at the end; a second time nothing is written."""
        if self._reported:
            return
        self._reported = True
        self._end_transcript()
        figures, signs, now_s = self._figures, self._signs, self._clock()
        figures.leave_state(now_s)
        duration_s = now_s - figures.began_s
        self._metrics.call_ended(outcome, duration_s)
        self._metrics.call_reason(reason)
        cost = cost_usd(figures, signs.uplink_ms, signs.frames_out, self._prices)
        self._metrics.cost(cost)
        self._metrics.audio(signs.frames_in, signs.frames_out, self._uplink.dropped_ms)
        self._line(
            "info" if outcome in {Outcome.COMPLETED, Outcome.MOVED} else "warning",
            "call.summary",
            outcome=outcome.value,
            reason=str(reason),
            duration_ms=int(duration_s * 1000),
            states=figures.state_ms,
            turns=figures.turns,
            barge_ins=figures.barge_ins,
            sessions=figures.sessions,
            sessions_lost=figures.sessions_lost,
            reconnects=len(figures.recovery_ms),
            recovery_max_ms=max(figures.recovery_ms, default=None),
            frames_in=signs.frames_in,
            frames_out=signs.frames_out,
            uplink_ms=signs.uplink_ms,
            caller_gap_ms=signs.gap_ms,
            frames_other_track=signs.other_track,
            caller_dropped_ms=self._uplink.dropped_ms,
            latency_p50_ms=self._latency.quantile_ms(0.5),
            latency_p95_ms=self._latency.quantile_ms(0.95),
            prompt_tokens=figures.prompt_tokens,
            response_tokens=figures.response_tokens,
            thoughts_tokens=figures.thoughts_tokens,
            tool_tokens=figures.tool_tokens,
            cached_tokens=figures.cached_tokens,
            text_turns=figures.text_turns,
            tools=figures.tools,
            cost_usd=cost,
            faults=dict(figures.faults),
        )

    def _session_lost(self, lost: SessionLost) -> None:
        if lost.cause == "closed_by_us" and self._figures.state != "reconnecting":
            self._line("info", "session.closed", session_no=lost.session_no)
            return
        self._figures.lost(lost)
        self._metrics.session_lost(lost.cause)
        self._line(
            "info" if lost.cause == "closed_by_us" else "warning",  # told to close for a move
            "session.lost",
            session_no=lost.session_no,
            cause=lost.cause,
            code=lost.code,
            decision=lost.decision.value,
            detail=lost.detail,
            **({"remedy": lost.remedy} if lost.remedy else {}),
        )

    def _played(self, played: TurnPlayed) -> None:
        interrupted = played.cleared and played.turn in self._interrupted
        if interrupted:
            self._figures.barge_ins += 1
            self._metrics.barge_in()
            self._line("info", "barge_in", turn=played.turn, unheard_ms=played.audio_ms - played.heard_ms)
        self._line(
            "info",
            "turn.ended",
            turn=played.turn,
            audio_ms=played.audio_ms,
            heard_ms=played.heard_ms,
            interrupted=interrupted,
        )

    def _progress(self) -> None:
        signs, figures = self._signs, self._figures
        playout_ms = self._playout_ms()
        self._metrics.queued(self._uplink.held_ms, playout_ms)
        self._line(
            "info",
            "call.progress",
            frames_in=signs.frames_in,
            frames_out=signs.frames_out,
            uplink_ms=signs.uplink_ms,
            backlog_ms=self._uplink.held_ms,
            playout_ms=playout_ms,
            caller_dropped_ms=self._uplink.dropped_ms,
            caller_gap_ms=signs.gap_ms,
            turns=figures.turns,
            barge_ins=figures.barge_ins,
            sessions_lost=figures.sessions_lost,
            faults=figures.faults.total(),
        )

    def _transcribed(self, words: Transcribed) -> None:
        """Join the fragments of one side: a card number that comes in four pieces is masked only as a whole."""
        if self._saying and self._saying.role != words.role:
            self._end_transcript()
        said, language = (self._saying.text, self._saying.language) if self._saying else ("", "")
        self._saying = replace(words, text=(said + words.text)[-_LONGEST_LINE:], language=words.language or language)

    def _end_transcript(self) -> None:
        if self._saying:
            said, self._saying = self._saying, None
            language = {"language": said.language} if said.language else {}
            self._line("info", "transcript", role=str(said.role), text=self._redact(said.text.strip()), **language)

    def _moved(self, origin: str, dest: str, reason: str) -> None:
        after_ms = self._figures.leave_state(self._clock())
        self._figures.state = dest
        self._log.info(
            "call.state", state=dest, t_ms=self._t_ms(), **{"from": origin, "to": dest}, reason=str(reason), after_ms=after_ms
        )

    def _line(self, level: str, event: str, **fields: Any) -> None:
        getattr(self._log, level)(event, state=self._figures.state, t_ms=self._t_ms(), **fields)

    def _t_ms(self) -> int:
        return int((self._clock() - self._figures.began_s) * 1000)
