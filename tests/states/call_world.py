"""The world around one call, played by rules: sessions that open, break and end, children that live and die, timers that run.

It tells the machine what the real one would, late and stale news included, and checks each effect as it is asked for.
"""

from dataclasses import replace

from call_machine import STARTED, conversation
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from callbot.effects import (
    CancelChildren,
    Effect,
    Moved,
    OpenSession,
    RecordEnding,
    RestartChild,
    RunTool,
    StartTimer,
    StopChildren,
    StopTimer,
    Tell,
)
from callbot.messages.call import (
    Beat,
    CallerGone,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    ChildExited,
    DrainRequested,
    KeyPressed,
    ModelSilent,
    PlayoutEmpty,
    PlayoutResumed,
    StreamFault,
    StreamSilent,
    TimerFired,
    ToolFinished,
    TurnSpeaking,
)
from callbot.messages.children import CloseSession, CloseStream, SayText
from callbot.messages.session import (
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    SessionLost,
    SessionReady,
    ToolCalled,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
)
from callbot.messages.terms import Child, Decision, Plan, Role, Timer
from callbot.states import TABLE, CallMachine, IllegalEventError, State

SECRET = "secret-handle"
DECISIONS = st.sampled_from(Decision)
MOVES = {(row.source.value, row.dest.value) for row in TABLE}

CALLS_OWN = {Timer.MAX_CALL, Timer.IDLE, Timer.GOODBYE, Timer.COMFORT, Timer.SPEECH, Timer.TROUBLE}
MAY_RUN = {
    State.CONNECTING: CALLS_OWN | {Timer.UNREACHABLE},
    State.STREAMING: set(Timer) - {Timer.UNREACHABLE, Timer.DRAIN, Timer.FAREWELL},
    State.RECONNECTING: CALLS_OWN | {Timer.UNREACHABLE},
    State.DRAINING: {Timer.DRAIN, Timer.FAREWELL},
    State.CLOSED: set[Timer](),
}


class CallWorld(RuleBasedStateMachine):
    """One call and all that can happen to it."""

    @initialize(models=st.integers(1, 3), greeting=st.sampled_from(["", "Say hello."]), restarts=st.integers(0, 3))
    def begin(self, models: int, greeting: str, restarts: int) -> None:
        self.machine = CallMachine(conversation(models=models, greeting=greeting, max_restarts=restarts, max_tries=4))
        self.log: list[Effect] = []
        self.sessions: dict[int, str] = {}  # the live ones: "opening", "open"; and "ended", whose exit is still to come
        self.told_to_close: set[int] = set()
        self.children = {Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT}
        self.timers: dict[Timer, float] = {}
        self.first_turns: list[int] = []
        self.turn = 0
        self.tools: set[str] = set()
        self.handles = 0
        self.tell(STARTED)

    # The world's side of the effects.

    def tell(self, event: CallMessage) -> tuple[Effect, ...]:
        was_closed = self.machine.state is State.CLOSED
        effects = self.machine.handle(event)
        assert not (was_closed and effects)
        for effect in effects:
            self.log.append(effect)
            self.carry_out(effect)
        return effects

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case OpenSession(session_no=session_no, first_turn=first_turn):
                assert self.live() == [], "two sessions at once"
                assert session_no not in self.sessions
                assert first_turn > self.turn
                assert (effect.handle is not None) == (effect.plan is Plan.RESUME)
                self.sessions[session_no] = "opening"
                self.first_turns.append(first_turn)
            case Tell(message=CloseSession()):
                self.told_to_close.update(self.live())
            case Tell(message=SayText()):
                assert [self.sessions[session_no] for session_no in self.live()] == ["open"]
                assert not self.told_to_close.intersection(self.live())
            case Tell(message=CloseStream()):
                assert any(isinstance(before, RecordEnding) for before in self.log)
            case StartTimer(timer=timer, due_s=due_s):
                assert self.timers.get(timer) != due_s, "it runs already"
                self.timers[timer] = due_s
            case StopTimer(timer=timer):
                del self.timers[timer]
            case RestartChild(child=child):
                self.children.add(child)
            case RunTool(call=call):
                self.tools.add(call.call_id)
            case CancelChildren():
                self.children.clear()
            case StopChildren():
                self.tools.clear()
            case Moved(origin=origin, dest=dest):
                assert (origin, dest) in MOVES
            case _:
                pass

    def live(self) -> list[int]:
        return [session_no for session_no, how in self.sessions.items() if how != "ended"]

    def begin_turn(self) -> int:
        self.turn = max(self.turn + 1, self.first_turns[-1])
        return self.turn

    # What may happen.

    @rule(plan=st.sampled_from(Plan))
    def a_session_is_ready(self, plan: Plan) -> None:
        for session_no in self.live():
            if self.sessions[session_no] == "opening":
                self.sessions[session_no] = "open"
                self.tell(SessionReady(session_no, plan, 300, 1.0))

    @rule(decision=DECISIONS, retry_after_s=st.sampled_from([None, 2.0]))
    def a_session_is_lost(self, decision: Decision, retry_after_s: float | None) -> None:
        for session_no in self.live():
            self.sessions[session_no] = "ended"
            cause = "closed_by_us" if session_no in self.told_to_close else "close_1011_internal"
            self.tell(SessionLost(session_no, decision, cause, 1011, "", 1.0, retry_after_s))

    @rule()
    def a_session_that_was_told_to_close_does(self) -> None:
        for session_no in self.told_to_close.intersection(self.live()):
            self.sessions[session_no] = "ended"
            self.tell(SessionLost(session_no, Decision.RESUME, "closed_by_us", 1000, "", 1.0))

    @rule()
    def ended_sessions_exit(self) -> None:
        for session_no in [session_no for session_no, how in self.sessions.items() if how == "ended"]:
            del self.sessions[session_no]
            self.tell(ChildExited(Child.GEMINI_SESSION, session_no, None, 1.0))

    @rule()
    def a_session_crashes(self) -> None:
        for session_no in self.live():
            del self.sessions[session_no]
            before, state = self.machine.record, self.machine.state
            effects = self.tell(ChildExited(Child.GEMINI_SESSION, session_no, "KeyError: 'x'", 1.0))
            if before.restarts >= before.limits.max_restarts and state is not State.CLOSED:
                assert not any(isinstance(effect, OpenSession) for effect in effects), "crashes without end"

    @rule(decision=DECISIONS, behind=st.integers(1, 3))
    def stale_news_of_an_earlier_session_come(self, decision: Decision, behind: int) -> None:
        session_no = self.machine.record.session_no - behind
        before = (self.machine.state, self.machine.record.session, self.machine.record.conversation)
        for event in (
            SessionLost(session_no, decision, "close_1006_link_lost", 1006, "", 1.0),
            SessionReady(session_no, Plan.NEW, 300, 1.0),
            ModelSilent(session_no, 60.0, 1.0),
            GoAway(session_no, 0.0, 1.0),
            HandleRenewed(session_no, f"{SECRET}-stale"),
            ChildExited(Child.GEMINI_SESSION, session_no, "KeyError: 'x'", 1.0),
        ):
            effects = self.tell(event)
            # A late ready in Draining is told to close once more; that is all that stale news may do.
            assert all(effect == Tell(CloseSession()) for effect in effects)
        after = (self.machine.state, self.machine.record.session, self.machine.record.conversation.end_line())
        assert after == (before[0], before[1], before[2].end_line())

    @rule(
        at_s=st.sampled_from([1.0, 6.0])
    )  # of a session that was ready at 1.0: too young to be a sign of life, and old enough
    def the_session_gets_a_handle(self, at_s: float) -> None:
        for session_no in self.live():
            if self.sessions[session_no] == "open":
                self.handles += 1
                self.tell(HandleRenewed(session_no, f"{SECRET}-{self.handles}", at_s))

    @rule(time_left_s=st.sampled_from([None, 0.0, 3.0, 50.0]))
    def the_session_goes_away(self, time_left_s: float | None) -> None:
        for session_no in self.live():
            self.tell(GoAway(session_no, time_left_s, 1.0))

    @rule(audible=st.booleans(), heard=st.booleans(), ends=st.booleans())
    def the_model_says_something(self, audible: bool, heard: bool, ends: bool) -> None:
        if "open" not in self.sessions.values():
            return
        turn = self.begin_turn()
        self.tell(TurnStarted(turn, 1.0))
        if audible:
            self.tell(TurnAudible(turn, 1.0))
        if heard:
            self.tell(TurnSpeaking(turn, 1.0))
            self.tell(Transcribed(Role.BOT, "hello", turn))
        if ends:
            self.tell(TurnGenerated(turn, audible, 1.0))
            self.tell(TurnCompleted(turn, audible, "", 1.0))

    @rule()
    def a_turn_without_a_word_is_complete(self) -> None:
        self.tell(TurnCompleted(0, audible=False, reason="", at_s=1.0))

    @rule()
    def the_playout_runs_empty(self) -> None:
        self.tell(PlayoutEmpty(1.0))

    @rule()
    def the_playout_goes_on(self) -> None:
        self.tell(PlayoutResumed(self.turn, 1.0))

    @rule()
    def the_model_is_interrupted(self) -> None:
        self.tell(ModelInterrupted(self.turn, 1.0))

    @rule()
    def the_caller_speaks(self) -> None:
        self.tell(CallerSpoke(1.0))

    @rule(speech_ms=st.sampled_from([100, 900]))
    def the_caller_pauses(self, speech_ms: int) -> None:
        self.tell(CallerPaused(1.0, speech_ms, 1.5))

    @rule(digit=st.sampled_from("0123456789*#"))
    def a_key_is_pressed(self, digit: str) -> None:
        self.tell(KeyPressed(digit, 1.0))

    @rule(name=st.sampled_from(["look_up", "end_call"]))
    def the_model_calls_a_tool(self, name: str) -> None:
        for session_no in self.live():
            self.tell(ToolCalled(session_no, f"f{len(self.log)}", name, {}, 1.0, self.turn + 1))

    @rule(ends_call=st.booleans())
    def a_tool_finishes(self, ends_call: bool) -> None:
        for call_id in sorted(self.tools)[:1]:
            self.tools.discard(call_id)
            self.tell(ToolFinished(self.machine.record.session_no, call_id, "x", {}, ends_call, 1.0))

    @rule()
    def tools_are_cancelled(self) -> None:
        self.tell(ToolsCancelled(self.machine.record.session_no, tuple(sorted(self.tools))))

    @rule(data=st.data())
    def a_running_timer_fires(self, data: st.DataObject) -> None:
        if self.timers:
            timer = data.draw(st.sampled_from(sorted(self.timers)))
            due_s = self.timers.pop(timer)
            self.tell(TimerFired(timer, due_s, max(1.0, due_s)))
            assert self.timers.get(timer) != due_s, "it would fire for ever"

    @rule(timer=st.sampled_from(Timer))
    def a_timer_that_was_stopped_too_late_fires(self, timer: Timer) -> None:
        before = self.machine.record
        assert self.tell(TimerFired(timer, -1.0, 1.0)) == ()
        assert self.machine.record == before

    @rule(event=st.sampled_from([Beat(1.0), StreamFault("not_json"), Transcribed(Role.CALLER, "hello", 0)]))
    def something_happens_that_decides_nothing(self, event: CallMessage) -> None:
        state = self.machine.state
        self.tell(event)
        assert self.machine.state is state

    @rule(child=st.sampled_from([Child.HEARTBEAT, Child.TRANSCODER, Child.TWILIO_IO]), crashed=st.booleans())
    def a_child_ends(self, child: Child, crashed: bool) -> None:
        draining = self.machine.state in {State.DRAINING, State.CLOSED}
        if child in self.children and (draining or child is not Child.TRANSCODER or crashed):
            self.children.discard(child)
            self.tell(ChildExited(child, 0, "ValueError: x" if crashed else None, 1.0))

    # A fair call has time to become one: these end it, so they are rarer.

    @precondition(lambda self: len(self.log) > 40)
    @rule(event=st.sampled_from([CallerGone("stop", 1.0), StreamSilent(10.0, 1.0), DrainRequested(1.0)]))
    def the_call_is_ended(self, event: CallMessage) -> None:
        self.tell(event)

    @rule(session_no=st.integers(2, 3))
    def a_second_start_is_refused_and_changes_nothing(self, session_no: int) -> None:
        before = (self.machine.state, self.machine.record)
        event = replace(STARTED, stream_no=session_no)
        if self.machine.state is State.CLOSED:
            assert self.tell(event) == ()
            return
        try:
            self.machine.handle(event)
        except IllegalEventError:
            assert (self.machine.state, self.machine.record) == before
        else:
            raise AssertionError("a second start was taken")
