"""A call's machine brought into each state by the events that lead there, and short words for what it asks for."""

from dataclasses import replace
from typing import Any, Self

from callbot.brief import Brief, Limits, Words
from callbot.conversation import Conversation
from callbot.effects import Effect, Moved, OpenSession, StartTimer, StopTimer, Tell
from callbot.messages.call import CallerPaused, CallerSpoke, CallMessage, StreamStarted, TimerFired, TurnSpeaking
from callbot.messages.children import CloseSession, SayText
from callbot.messages.session import HandleRenewed, SessionLost, SessionReady, ToolCalled, TurnAudible, TurnStarted
from callbot.messages.terms import Child, Decision, Plan, Refusal, Timer
from callbot.states import CallMachine, CallRecord, State

HANDLE = "secret-handle-3f9a"
WORDS = Words()
STARTED = StreamStarted(call_sid="CA1", stream_sid="MZ1", account_sid="AC1", at_s=0.0)
TOOL = ToolCalled(1, "f1", "look_up", {"q": "x"}, 5.0, turn=1)
ALL_BUT_SESSION = frozenset({Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT})


def conversation(*, greeting: str = "", models: int = 1, **limits: Any) -> Conversation:
    """One that begins; `limits` are those of its brief."""
    names = tuple(f"model-{number}" for number in range(models))
    return Conversation("CA1", brief=Brief(greeting=greeting, models=names, limits=Limits(**limits)))


class Call:
    """One call's machine. Its timers are looked at in `timers`; what `tell` gives are the other effects of the last event."""

    def __init__(self, begun: Conversation | None = None, **how: Any) -> None:
        self.machine = CallMachine(begun or conversation(**how))
        self.now_s = 0.0

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def record(self) -> CallRecord:
        return self.machine.record

    @property
    def timers(self) -> dict[str, float]:
        """The timers that run, with the time until each."""
        return {timer.value: round(due_s - self.record.now_s, 6) for timer, due_s in self.machine.timers.items()}

    def tell(self, *events: CallMessage) -> tuple[Effect, ...]:
        effects: tuple[Effect, ...] = ()
        for event in events:
            effects = tuple(one for one in self.machine.handle(event) if not isinstance(one, StartTimer | StopTimer))
        return effects

    def fire(self, name: str) -> tuple[Effect, ...]:
        """Let time pass until a timer that runs fires."""
        due_s = self.machine.timers[Timer(name)]
        return self.tell(TimerFired(Timer(name), due_s, max(due_s, self.record.now_s)))

    def fire_until(self, until_s: float) -> None:
        """Let time pass until a moment; the timers that run fire in their order."""
        while self.machine.timers and min(self.machine.timers.values()) <= until_s:
            self.fire(min(self.machine.timers, key=self.machine.timers.__getitem__))

    def fire_late(self, name: str) -> tuple[Effect, ...]:
        """A timer fires that was stopped in that very moment."""
        return self.tell(TimerFired(Timer(name), -1.0, self.record.now_s))

    def change(self, **fields: Any) -> Self:
        """Put the record as if other events had come before."""
        self.machine.record = replace(self.machine.record, **fields)
        return self


def connecting(begun: Conversation | None = None, **how: Any) -> Call:
    call = Call(begun, **how)
    call.tell(STARTED)
    return call


def streaming(*, handle: bool = True, **how: Any) -> Call:
    """Session 1 is open, nobody speaks."""
    call = connecting(**how)
    call.tell(SessionReady(1, Plan.NEW, 300, 0.3))
    if handle:
        call.tell(HandleRenewed(1, HANDLE, 0.4))
    return call


def talking(**how: Any) -> Call:
    """The model is in the middle of turn 1; the caller hears it."""
    call = streaming(**how)
    call.tell(TurnStarted(1, 1.0), TurnAudible(1, 1.0), TurnSpeaking(1, 1.0))
    return call


def asked(**how: Any) -> Call:
    """The caller has spoken and the model owes an answer."""
    call = streaming(**how)
    call.tell(CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))
    return call


def reconnecting(**how: Any) -> Call:
    """Session 1 was lost with its link, session 2 is opening with the handle."""
    call = streaming(**how)
    call.tell(lost(1))
    return call


def lost(
    session_no: int,
    decision: Decision = Decision.RESUME,
    cause: str = "close_1006_link_lost",
    *,
    at_s: float = 10.0,
    retry_after_s: float | None = None,
    refusal: Refusal | None = None,
) -> SessionLost:
    return SessionLost(session_no, decision, cause, 1006, "", at_s, retry_after_s, refusal)


def ready(session_no: int, plan: Plan = Plan.RESUME, *, at_s: float = 11.0) -> SessionReady:
    return SessionReady(session_no, plan, 300, at_s)


def say(text: str) -> Tell:
    return Tell(SayText(text))


def nudge(text: str = WORDS.nudge) -> Tell:
    return Tell(SayText(text, until_interrupted=True))


CLOSE_SESSION = Tell(CloseSession())


def openings(effects: tuple[Effect, ...]) -> list[OpenSession]:
    return [effect for effect in effects if isinstance(effect, OpenSession)]


def moves(effects: tuple[Effect, ...]) -> list[tuple[str, str, str]]:
    return [(effect.origin, effect.dest, effect.reason) for effect in effects if isinstance(effect, Moved)]


def told(effects: tuple[Effect, ...]) -> list[object]:
    return [effect.message for effect in effects if isinstance(effect, Tell)]
