"""The call's machine: the table, and the engine that asks the state in force and moves by the table.

Theory of operation
-------------------
`State x Event -> Effects, State'`. An event (a message to `CallActor`) goes to the module of the state in force, which
answers with a `Step`: the record as it is now, what should be done, and perhaps a trigger. A trigger is judged by the
table below, by the synchronous `transitions.Machine`; then the new state's `enter` answers with a `Step` of its own. A
state that enters and is done at once may give a trigger again. Everything that moves the machine is in `TABLE`; nothing
outside this room may.

An event that a state has no business with raises `IllegalEventError` and changes nothing: it is a fault of ours. An event that
is merely late (a mark or a timer after the move) is listed as such in that state's module, so silence is a decision.

The diagram in `docs/states.md` is drawn from `TABLE`; a test compares them.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple

from transitions import Machine

from callbot.effects import Effect, Moved
from callbot.messages import CallMessage
from callbot.states import closed, connecting, draining, reconnecting, streaming
from callbot.states.record import CallRecord, Limits, State, Step, Trigger


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

_ON_EVENT: MappingProxyType[State, Callable[[CallRecord, CallMessage], Step | None]] = MappingProxyType(
    {
        State.CONNECTING: connecting.on_event,
        State.STREAMING: streaming.on_event,
        State.RECONNECTING: reconnecting.on_event,
        State.DRAINING: draining.on_event,
        State.CLOSED: closed.on_event,
    }
)

# No transition leads to Connecting: its beginning is the StreamStarted event.
_ON_ENTER: MappingProxyType[State, Callable[[CallRecord, CallMessage], Step]] = MappingProxyType(
    {
        State.STREAMING: streaming.enter,
        State.RECONNECTING: reconnecting.enter,
        State.DRAINING: draining.enter,
        State.CLOSED: closed.enter,
    }
)


class IllegalEventError(Exception):
    """An event reached a state that has no business with it. The machine has not moved."""

    def __init__(self, state: State, event: CallMessage) -> None:
        super().__init__(f"{type(event).__name__} has no meaning in state {state.value}")
        self.state = state
        self.event = event


class CallMachine:
    """One call's machine. Pure: no I/O, no clock, no asyncio; `handle` is the only door."""

    def __init__(self, limits: Limits) -> None:
        self.state = State.CONNECTING
        self.record = CallRecord(limits=limits)

    def handle(self, event: CallMessage) -> tuple[Effect, ...]:
        """Answer one event with the effects to carry out, in order.

        Raises `IllegalEventError` when the state in force has no business with it; nothing has changed then.
        """
        step = _ON_EVENT[self.state](self.record, event)
        if step is None:
            raise IllegalEventError(self.state, event)
        effects = list(step.effects)
        self.record = step.record
        while step.trigger is not None:
            origin = self.state
            _ENGINE.events[step.trigger.value].trigger(self)  # raises `MachineError` for a move that is not in the table
            effects.append(Moved(origin.value, self.state.value, step.reason))
            step = _ON_ENTER[self.state](self.record, event)
            self.record = step.record
            effects.extend(step.effects)
        return tuple(effects)


def diagram() -> str:
    """The table as Mermaid text (`stateDiagram-v2`), in table order; the same on every run."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CONNECTING.value.capitalize()}"]
    lines += [f"    {row.source.value.capitalize()} --> {row.dest.value.capitalize()}: {row.trigger.value}" for row in TABLE]
    lines.append(f"    {State.CLOSED.value.capitalize()} --> [*]")
    return "\n".join(lines) + "\n"
