"""A call's machine brought into each state by the events that lead there, and short words for what it asks for."""

from dataclasses import replace

from callbot.effects import Effect, Moved, OpenSession, StartTimer, StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    CloseSession,
    Decision,
    HandleRenewed,
    Plan,
    SayText,
    SessionLost,
    SessionReady,
    StreamStarted,
    Timer,
    TimerFired,
    ToolCalled,
    TurnAudible,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import CallMachine, Limits

HANDLE = "secret-handle-3f9a"
QUIET = Limits()  # no greeting: the call is silent until somebody speaks
GREETS = Limits(greeting="Say hello.")
STARTED = StreamStarted(call_sid="CA1", stream_sid="MZ1", account_sid="AC1", at_s=0.0)

WAITS = (StartTimer(Timer.FIRST_AUDIO, 7.0), StartTimer(Timer.COMFORT, 3.0))
WAITS_ON = StartTimer(Timer.FIRST_AUDIO, 4.0)  # the caller waited before: the comfort sound's timer runs already
TOOL = ToolCalled(1, "f1", "look_up", {"q": "x"}, 5.0)

ALL_BUT_SESSION = frozenset({Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT})
STREAMING_TIMERS = (Timer.FIRST_AUDIO, Timer.TURN_GAP, Timer.TURN_COMPLETE, Timer.MOVE, Timer.ROTATE)
TIMERS_BEFORE_DRAINING = (
    Timer.MAX_CALL,
    Timer.IDLE,
    Timer.GOODBYE,
    Timer.KEYS,
    Timer.UNREACHABLE,
    Timer.COMFORT,
    Timer.FIRST_AUDIO,
    Timer.TURN_GAP,
    Timer.TURN_COMPLETE,
    Timer.MOVE,
    Timer.ROTATE,
)


def connecting(limits: Limits = QUIET) -> CallMachine:
    machine = CallMachine(limits)
    machine.handle(STARTED)
    return machine


def streaming(limits: Limits = QUIET, *, handle: bool = True) -> CallMachine:
    """Session 1 is open, nobody speaks."""
    machine = connecting(limits)
    machine.handle(SessionReady(1, Plan.NEW, 300, 0.3))
    if handle:
        machine.handle(HandleRenewed(1, HANDLE, 0.4))
    return machine


def talking(limits: Limits = QUIET) -> CallMachine:
    """The model is in the middle of turn 1; the caller hears it."""
    machine = streaming(limits)
    for event in (TurnStarted(1, 1.0), TurnAudible(1, 1.0), TurnSpeaking(1, 1.0)):
        machine.handle(event)
    return machine


def asked(limits: Limits = QUIET) -> CallMachine:
    """The caller has spoken and the model owes an answer."""
    machine = streaming(limits)
    feed(machine, CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))
    return machine


def reconnecting(limits: Limits = QUIET) -> CallMachine:
    """Session 1 was lost with its link, session 2 is opening with the handle."""
    machine = streaming(limits)
    machine.handle(lost(1))
    return machine


def lost(
    session_no: int,
    decision: Decision = Decision.RESUME,
    cause: str = "close_1006_link_lost",
    *,
    retry_after_s: float | None = None,
) -> SessionLost:
    return SessionLost(session_no, decision, cause, 1006, "", 10.0, retry_after_s)


def ready(session_no: int, plan: Plan = Plan.RESUME, *, at_s: float = 11.0) -> SessionReady:
    return SessionReady(session_no, plan, 300, at_s)


def fired(name: Timer) -> TimerFired:
    return TimerFired(name, 20.0)


def feed(machine: CallMachine, *events: CallMessage) -> tuple[Effect, ...]:
    """Feed several events; gives the effects of the last."""
    effects: tuple[Effect, ...] = ()
    for event in events:
        effects = machine.handle(event)
    return effects


def change(machine: CallMachine, **fields: object) -> CallMachine:
    """Put the record as if other events had come before."""
    machine.record = replace(machine.record, **fields)  # type: ignore[arg-type]
    return machine


def say(text: str) -> Tell:
    return Tell(SayText(text))


CLOSE_SESSION = Tell(CloseSession())


def stops(*names: Timer) -> tuple[StopTimer, ...]:
    return tuple(StopTimer(name) for name in names)


MOVE_TIMERS = (*stops(*STREAMING_TIMERS), StartTimer(Timer.UNREACHABLE, 12.0), StartTimer(Timer.COMFORT, 3.0))


def openings(effects: tuple[Effect, ...]) -> list[OpenSession]:
    return [effect for effect in effects if isinstance(effect, OpenSession)]


def moves(effects: tuple[Effect, ...]) -> list[tuple[str, str, str]]:
    return [(effect.origin, effect.dest, effect.reason) for effect in effects if isinstance(effect, Moved)]


def timers(effects: tuple[Effect, ...]) -> dict[str, float]:
    """The timers that these effects start, after those that they stop again."""
    running: dict[str, float] = {}
    for effect in effects:
        if isinstance(effect, StartTimer):
            running[effect.name] = effect.delay_s
        elif isinstance(effect, StopTimer):
            running.pop(effect.name, None)
    return running


def told(effects: tuple[Effect, ...]) -> list[object]:
    return [effect.message for effect in effects if isinstance(effect, Tell)]
