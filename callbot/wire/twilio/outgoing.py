"""What may be sent to Twilio: `media`, `mark` and `clear`, with exactly the keys that Twilio knows.

A key too many or too few, or another stream's SID, is Twilio's warning 31951, which it reports once a stream however
often it happens; so nothing but these functions makes a message.
"""

import binascii
import re
from typing import Final

import msgspec

MARK: Final = '{"event":"mark",'  # what a mark's message begins with
_MARK: Final = re.compile(r"t([0-9]{1,9})-([0-9]{1,9})")


class TwilioEncoder:
    """Makes the messages of one stream; what never changes is built once, so that a frame costs about a microsecond.

    Raises ValueError without a stream SID.
    """

    __slots__ = ("_clear", "_mark_head", "_media_head", "stream_sid")

    def __init__(self, stream_sid: str) -> None:
        if not stream_sid:
            raise ValueError("stream_sid is empty; take it from Twilio's start message")
        self.stream_sid = stream_sid
        sid = _json_text(stream_sid)
        self._media_head = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark_head = f'{MARK}"streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def media(self, mulaw: bytes) -> str:
        """Make the message that queues mu-law audio (8 kHz, no header) at Twilio. Raises ValueError if it is empty."""
        if not mulaw:
            raise ValueError("there is no audio to send; leave the message out")
        return self._media_head + binascii.b2a_base64(mulaw, newline=False).decode("ascii") + '"}}'

    def mark(self, name: str) -> str:
        """Make the message that asks for this mark back once all audio before it is played. ValueError if empty."""
        if not name:
            raise ValueError("a mark needs a name, or its echo tells nothing; see mark_name")
        return self._mark_head + _json_text(name) + "}}"

    def clear(self) -> str:
        """Make the message that drops all queued audio and brings all pending marks back."""
        return self._clear


def media_message(stream_sid: str, mulaw: bytes) -> str:
    """Make one `media` message; see `TwilioEncoder.media`."""
    return TwilioEncoder(stream_sid).media(mulaw)


def mark_message(stream_sid: str, name: str) -> str:
    """Make one `mark` message; see `TwilioEncoder.mark`."""
    return TwilioEncoder(stream_sid).mark(name)


def clear_message(stream_sid: str) -> str:
    """Make one `clear` message; see `TwilioEncoder.clear`."""
    return TwilioEncoder(stream_sid).clear()


def mark_name(turn: int, index: int) -> str:
    """Name the mark number `index` of a turn. Unique over the call: echoes of played and cleared marks look the same,
    so the turn is what tells them apart. Raises ValueError unless both are from 0 to 999,999,999.
    """
    name = f"t{turn}-{index}"
    if _MARK.fullmatch(name) is None:
        raise ValueError(f"turn {turn}, index {index}: both have to be from 0 to 999,999,999")
    return name


def parse_mark(name: str) -> tuple[int, int] | None:
    """Give the (turn, index) that `mark_name` made this name from, or None if it is not one of those."""
    match = _MARK.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def _json_text(text: str) -> str:
    return msgspec.json.encode(text).decode()
