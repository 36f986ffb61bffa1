"""The call's machine: the table, and the engine that asks the state in force and moves by the table.

Theory of operation
-------------------
`State x Event -> Effects, State'`. An event (a message to `CallActor`) is first noticed in the regions (`record.advance`),
unless the call is draining. Then the module of the state in force decides, on the record before, the record after and the
event: its `Step` has the record as it is now, what should be done, and perhaps a trigger. A trigger is judged by the table
below, by the synchronous `transitions.Machine`; then the new state's `enter` answers with a `Step` of its own. Last, the
timers that are due (`timers.due`) are compared with those that run, and the difference is asked for.

An event that a state has no business with raises `IllegalEventError` and changes nothing: it is a fault of ours. That is a
start where a stream runs already, and what is no event of a call. News of a session that is over, and timers that were
stopped too late, are late and change nothing.

The diagram in `docs/states.md` is drawn from `TABLE`; a test compares them.
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple, get_args

from transitions import Machine

from callbot.conversation import Conversation
from callbot.effects import Effect, Moved, StartTimer, StopTimer
from callbot.messages.call import CallMessage, StreamStarted, TimerFired
from callbot.messages.terms import Timer
from callbot.states import closed, connecting, draining, reconnecting, streaming, timers
from callbot.states.record import CallRecord, State, Step, Trigger, advance, remember
from callbot.states.regions.floor import AnswerDue, Nobody


class Row(NamedTuple):
    """One line of the table."""

    trigger: Trigger
    source: State
    dest: State


TABLE: tuple[Row, ...] = (
    Row(Trigger.READY, State.CONNECTING, State.STREAMING),
    Row(Trigger.GIVE_UP, State.CONNECTING, State.DRAINING),
    Row(Trigger.END, State.CONNECTING, State.DRAINING),
    Row(Trigger.LOST, State.STREAMING, State.RECONNECTING),
    Row(Trigger.MOVE, State.STREAMING, State.RECONNECTING),
    Row(Trigger.GIVE_UP, State.STREAMING, State.DRAINING),
    Row(Trigger.END, State.STREAMING, State.DRAINING),
    Row(Trigger.READY, State.RECONNECTING, State.STREAMING),
    Row(Trigger.GIVE_UP, State.RECONNECTING, State.DRAINING),
    Row(Trigger.END, State.RECONNECTING, State.DRAINING),
    Row(Trigger.DRAINED, State.DRAINING, State.CLOSED),
)

# One for all calls, which are its models in turn: to make one takes half a millisecond, in everybody's way.
_ENGINE: Final = Machine(
    model=None,
    states=State,
    transitions=[{"trigger": row.trigger.value, "source": row.source, "dest": row.dest} for row in TABLE],
    initial=State.CONNECTING,
    auto_transitions=False,  # else any code could jump anywhere
)

type OnEvent = Callable[[CallRecord, CallRecord, CallMessage], Step | None]
type OnEnter = Callable[[CallRecord, CallRecord, CallMessage], Step]

_ON_EVENT: MappingProxyType[State, OnEvent] = MappingProxyType(
    {
        State.CONNECTING: connecting.on_event,
        State.STREAMING: streaming.on_event,
        State.RECONNECTING: reconnecting.on_event,
        State.DRAINING: draining.on_event,
        State.CLOSED: closed.on_event,
    }
)

# No transition leads to Connecting: its beginning is the StreamStarted event.
_ON_ENTER: MappingProxyType[State, OnEnter] = MappingProxyType(
    {
        State.STREAMING: streaming.enter,
        State.RECONNECTING: reconnecting.enter,
        State.DRAINING: draining.enter,
        State.CLOSED: closed.enter,
    }
)

_EVENTS: Final = get_args(CallMessage)


class IllegalEventError(Exception):
    """An event reached a state that has no business with it. The machine has not moved."""

    def __init__(self, state: State, event: CallMessage) -> None:
        super().__init__(f"{type(event).__name__} has no meaning in state {state.value}")
        self.state = state
        self.event = event


class CallMachine:
    """One call's machine, over one stream of `conversation`. Pure: no I/O, no clock, no asyncio."""

    def __init__(self, conversation: Conversation) -> None:
        self.state = State.CONNECTING
        floor = AnswerDue(float("inf")) if conversation.answer_due else Nobody()
        self.record = CallRecord(conversation, floor=floor)
        self.timers: dict[Timer, float] = {}  # those that run, with the moment of each
        self._fired: dict[Timer, float] = {}  # for which moment each fired last: the same moment is not due again

    def handle(self, event: CallMessage) -> tuple[Effect, ...]:
        """Answer one event with the effects to carry out, in order.

        Raises `IllegalEventError` when the state in force has no business with it; nothing has changed then.
        """
        if not isinstance(event, _EVENTS):
            raise IllegalEventError(self.state, event)
        if isinstance(event, TimerFired):
            if self.timers.get(event.timer) != event.due_s:
                return ()  # stopped or set anew too late: late, not wrong
            del self.timers[event.timer]
            self._fired[event.timer] = event.due_s
        before = self.record
        step = _ON_EVENT[self.state](before, self._noticed(event), event)
        if step is None:
            raise IllegalEventError(self.state, event)
        effects = list(step.effects)
        self.record = step.record
        while step.trigger is not None:
            origin = self.state
            _ENGINE.events[step.trigger.value].trigger(self)  # raises `MachineError` for a move that is not in the table
            self.record = replace(self.record, entered_s=self.record.now_s)
            effects.append(Moved(origin.value, self.state.value, step.reason))
            step = _ON_ENTER[self.state](before, self.record, event)
            self.record = step.record
            effects.extend(step.effects)
        return (*effects, *self._timer_changes())

    def _noticed(self, event: CallMessage) -> CallRecord:
        """The record with the event noticed in its regions; while the call drains only words and results are."""
        record = self.record
        if isinstance(event, StreamStarted) and record.children:
            return record
        if self.state in {State.DRAINING, State.CLOSED}:
            now_s = max(record.now_s, getattr(event, "at_s", record.now_s))
            return replace(record, now_s=now_s, conversation=remember(record, event))
        return advance(record, event)

    def _timer_changes(self) -> list[Effect]:
        due = {timer: at_s for timer, at_s in timers.due(self.state, self.record).items() if self._fired.get(timer) != at_s}
        stops: list[Effect] = [StopTimer(timer) for timer in self.timers if timer not in due]
        starts = [StartTimer(timer, at_s) for timer, at_s in due.items() if self.timers.get(timer) != at_s]
        self.timers = due
        return [*stops, *starts]


def diagram() -> str:
    """The table as Mermaid text (`stateDiagram-v2`), in table order; the same on every run."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CONNECTING.value.capitalize()}"]
    lines += [f"    {row.source.value.capitalize()} --> {row.dest.value.capitalize()}: {row.trigger.value}" for row in TABLE]
    lines.append(f"    {State.CLOSED.value.capitalize()} --> [*]")
    return "\n".join(lines) + "\n"
