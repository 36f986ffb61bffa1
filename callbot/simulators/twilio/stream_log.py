"""What one stream notes down while it runs, and the report it becomes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from callbot.simulators.twilio.checks import ProtocolFault
from callbot.simulators.twilio.playout import BYTES_PER_MS, Cleared, PlayoutBuffer
from callbot.simulators.twilio.records import ClearRecord, MarkRecord, StreamEnd, StreamReport


@dataclass(slots=True)
class _OpenMark:
    name: str
    received_s: float
    echoed_s: float | None = None
    cleared: bool = False


@dataclass(slots=True)
class StreamLog:
    """Counters and lists of one stream. Times are of the clock; `report` moves them to the recordings' zero.

    `tell` passes (clock time, kind, detail) on to the call's timeline.
    """

    tell: Callable[[float, str, str], None]
    started_s: float | None = None
    ended_s: float = 0.0
    http_status: int = 0
    close_code: int | None = None
    close_reason: str = ""
    frames_sent: int = 0
    frames_lost: int = 0
    frames_discarded: int = 0
    media_received: int = 0
    bytes_received: int = 0
    debugger: list[int] = field(default_factory=list)
    faults: list[ProtocolFault] = field(default_factory=list)
    clears: list[ClearRecord] = field(default_factory=list)
    _marks: list[_OpenMark] = field(default_factory=list)
    _first_open: int = 0  # marks before this index have all been echoed

    def fault(self, fault: ProtocolFault, at_s: float) -> bool:
        """Note a protocol fault; True when Twilio reports its code for the first time on this stream."""
        self.faults.append(replace(fault, at_s=at_s))
        self.tell(at_s, "protocol_fault", f"{fault.code or 'unreported'} {fault.kind}: {fault.explanation}")
        return self.report_code(fault.code)

    def report_code(self, code: int) -> bool:
        """Note a code of Twilio's debugger; False when there is none or it has been reported before."""
        if not code or code in self.debugger:
            return False
        self.debugger.append(code)
        return True

    def mark_received(self, name: str, at_s: float) -> None:
        """A mark has come from the app."""
        self._marks.append(_OpenMark(name, at_s))

    def mark_echoed(self, name: str, at_s: float, *, cleared: bool = False) -> None:
        """A mark goes back. Echoes keep the order of arrival, so it is the oldest one that is out."""
        mark = self._marks[self._first_open]
        assert mark.name == name
        mark.echoed_s, mark.cleared = at_s, cleared
        self._first_open += 1
        self.tell(at_s, "mark", f"{name} {'returned by a clear' if cleared else 'played'}")

    def clear(self, cleared: Cleared, at_s: float) -> None:
        """A clear has been carried out."""
        self.clears.append(ClearRecord(at_s, cleared.dropped_ms, cleared.marks))
        self.tell(at_s, "clear", f"{cleared.dropped_ms:.0f} ms dropped")

    def report(
        self,
        *,
        zero_s: float,
        stream_sid: str,
        url: str,
        parameters: tuple[tuple[str, str], ...],
        end: StreamEnd,
        playout: PlayoutBuffer,
        second: bool,
    ) -> StreamReport:
        """Freeze everything, with times counted from `zero_s`."""
        return StreamReport(
            stream_sid=stream_sid,
            url=url,
            parameters=parameters,
            http_status=self.http_status,
            started_s=None if self.started_s is None else self.started_s - zero_s,
            ended_s=self.ended_s - zero_s,
            end=end,
            close_code=self.close_code,
            close_reason=self.close_reason,
            debugger=tuple(self.debugger),
            marks=tuple(
                MarkRecord(
                    mark.name,
                    mark.received_s - zero_s,
                    None if mark.echoed_s is None else mark.echoed_s - zero_s,
                    mark.cleared,
                )
                for mark in self._marks
            ),
            clears=tuple(replace(record, at_s=record.at_s - zero_s) for record in self.clears),
            protocol_faults=tuple(replace(fault, at_s=fault.at_s - zero_s) for fault in self.faults),
            frames_sent=self.frames_sent,
            frames_lost=self.frames_lost,
            frames_discarded=self.frames_discarded,
            media_received=self.media_received,
            audio_received_ms=self.bytes_received / BYTES_PER_MS,
            underruns=playout.underruns,
            underrun_ms=playout.underrun_ms,
            partial_frames=playout.partial_frames,
            ragged_payloads=playout.ragged_payloads,
            max_queued_ms=playout.max_queued_ms,
            dropped_ms=playout.dropped_ms,
            second=second,
        )
