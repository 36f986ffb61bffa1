"""The messages that a fault puts into a stream: what Twilio would not send, or not then."""

from callbot.simulators.twilio.composer import Composer
from callbot.simulators.twilio.faults import (
    DuplicateStart,
    MarkFlood,
    OtherTrack,
    RawMessage,
    SendGarbage,
    TimedFault,
    garbage_message,
)
from callbot.simulators.twilio.playout import FRAME_BYTES

OTHER_VOICE = bytes((0x90, 0x10)) * (FRAME_BYTES // 2)  # a loud tone of 4 kHz, which no caller's audio holds


def messages_of(fault: TimedFault, composer: Composer, stream_sid: str) -> list[str | RawMessage]:
    """Return what is to be sent at once, in order; nothing for faults that do something else."""
    match fault:
        case DuplicateStart(call_sid=call_sid):
            return [composer.start(call_sid)]
        case SendGarbage(kind=kind, times=times):
            return [garbage_message(kind, stream_sid, composer.sequence) for _ in range(times)]
        case MarkFlood(marks=marks):
            return [composer.mark(f"never-sent-{number}") for number in range(marks)]
        case OtherTrack(frames=frames):
            return [composer.media(OTHER_VOICE, "outbound") for _ in range(frames)]
        case _:
            return []
