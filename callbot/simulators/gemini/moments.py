"""The moments of a session at which a fault of the script is due."""

from collections.abc import Awaitable, Callable

from . import faults as do
from . import triggers as at
from .records import SessionRecord

# Moments that pass only once on a connection.
_ONCE = (at.CallerAudio, at.ModelAudio, at.After)


class Moments:
    """Watches the moments of one session, and lets `carry_out` do what the script says about them."""

    def __init__(
        self,
        record: SessionRecord,
        script: do.FaultScript,
        *,
        carry_out: Callable[[do.Action], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self._record = record
        self._script = script
        self._carry_out = carry_out
        self._changed = changed
        self._armed = script.for_connection(record.number)

    def arm(self, fault: do.Fault) -> None:
        """Add a fault that came while the session was open."""
        self._armed.append(fault)

    def timed(self) -> list[do.Fault]:
        """Return the faults that wait for a time."""
        return [fault for fault in self._armed if isinstance(fault.at, at.After)]

    async def at(self, moment: type[at.Trigger], *, turn: int = 0, ms: float = 0.0) -> None:
        """Do what is due at this moment."""
        if not self._armed:
            return
        for fault in list(self._armed):
            if type(fault.at) is moment and _is_due(fault.at, turn, ms):
                await self.do(fault)

    async def do(self, fault: do.Fault) -> None:
        """Let one fault happen, if it has not happened often enough."""
        if isinstance(fault.at, _ONCE) and fault in self._armed:
            self._armed.remove(fault)
        if self._script.take(fault):
            self._record.fired.append(type(fault.do).__name__)
            self._changed()
            await self._carry_out(fault.do)


def _is_due(trigger: at.Trigger, turn: int, ms: float) -> bool:
    match trigger:
        case at.CallerAudio(wanted_ms):
            return ms >= wanted_ms
        case at.ModelAudio(wanted_ms, wanted_turn):
            return turn == wanted_turn and ms >= wanted_ms
        case at.OnGenerationComplete(wanted_turn) | at.OnTurnComplete(wanted_turn):
            return wanted_turn in {None, turn}
        case _:
            return True
