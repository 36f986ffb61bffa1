"""Carrying out the faults of a script on a live session."""

from typing import TYPE_CHECKING

from . import faults as do
from . import triggers as at

if TYPE_CHECKING:
    from .session import LiveSession

# Moments that pass only once on a connection.
_ONCE = (at.CallerAudio, at.ModelAudio, at.After)


class Misbehaviour:
    """Watches the moments of one session and does what the script says about them."""

    def __init__(self, session: "LiveSession", script: do.FaultScript) -> None:
        self._session = session
        self._script = script
        self._armed = script.for_connection(session.number)

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
            self._session.fired.append(type(fault.do).__name__)
            self._session.changed()
            await carry_out(fault.do, self._session)


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


async def carry_out(action: do.Action, session: "LiveSession") -> None:
    """Do one thing to a session."""
    match action:
        case do.NoSetupReply():
            session.setup_reply = None
        case do.SlowSetup(delay_s):
            await session.server.clock.sleep(delay_s)
        case do.ReplyToSetup(body):
            session.setup_reply = body
        case do.Close(code, reason):
            await session.close(code, reason)
        case do.Abort(reset):
            session.abort(reset=reset)
        case do.Freeze(until_text):
            session.freeze(until_text=until_text)
        case do.Stall(delay_s):
            await session.clock.sleep(delay_s)
        case do.SendRaw(body, as_text):
            await session.send_raw(body, as_text)
        case do.Withhold(kind):
            session.outbox.withheld.add(kind)
        case do.Duplicate(kind):
            session.outbox.duplicated.add(kind)
        case do.NeverResumable():
            session.never_resumable = True
        case do.Interrupt():
            await session.interrupt()
        case do.SendGoAway(time_left, close_after_s):
            await session.go_away(time_left, close_after_s=close_after_s)
        case do.CancelTools(ids):
            await session.cancel_tools(ids)
        case do.StopReading(for_s):
            session.stop_reading(for_s)
        case do.ReadSlowly(delay_s):
            session.wire.read_delay_s = delay_s / session.server.options.time_scale
        case do.DelayPongs(delay_s):
            session.delay_pongs(delay_s)
        case do.BlackHole():
            session.wire.become_black_hole()
        case do.IgnoreClose():
            session.wire.keep_tcp_open(answer_close=False)
        case do.HalfOpenClose(code, reason):
            session.half_open_close(code, reason)
        case do.Refuse() | do.HangUpgrade() | do.SlowUpgrade():
            raise ValueError(f"{type(action).__name__} is for the upgrade, and this session is past it")
