"""WebSocket frames of the one kind that calls are made of: a whole message in one frame (RFC 6455, section 5.2).

The libraries that own the connections parse every frame as if it could be anything, which costs 25 to 60 us of Python each:
as much as all of a call's own work on it. Here a run of plain frames is read in 2 to 4 us each. Whatever else comes is not
judged here: it is handed on, byte for byte, to the library, which stays the authority on it.
"""

import os
import sys
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# Close codes (RFC 6455, 7.4.1) of frames that nobody may send.
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NOT_UTF8: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009

MOST_PARTS: Final = 16  # of one message; Twilio's are whole
_FIN: Final = 0x80
_MASKED: Final = 0x80
_SHORT: Final = 125
_EXTENDED_16: Final = 126
_LENGTH_16_FROM: Final = 126  # a shorter message with the longer length is an error, which the library names
_LENGTH_64_FROM: Final = 2**16


class PlainFrames:
    """Cuts what arrives into whole frames, as long as they are plain: unfragmented, without extension bits, sound.

    `masked` says whose frames these are: a client's are masked, a server's are not. With `decode` text comes as str. A message
    of more than `largest` bytes is the library's, which has limits and says so. After the first byte of anything that is not
    plain `rest` holds it and what followed, and nothing more is taken. With `skips` set, all but a close is passed over unread,
    and messages are counted in `skipped`. With `joins` a message in up to `MOST_PARTS` parts is plain, too.
    """

    __slots__ = (
        "_data",
        "_decode",
        "_joined",
        "_largest",
        "_mask_bit",
        "_mask_bytes",
        "_parts",
        "_plain",
        "has_more",
        "rest",
        "skipped",
        "skips",
        "stopped",
    )

    def __init__(self, *, masked: bool, decode: bool, largest: int, joins: bool = False) -> None:
        self._data = _DATA | _IN_PARTS if joins else _DATA
        self._plain = _PLAIN | _IN_PARTS if joins else _PLAIN
        self._joined = 0  # the opcode of a message whose parts are coming; 0 when none is
        self._parts: list[bytes] = []
        self._largest = largest
        self._decode = decode
        self._mask_bit = _MASKED if masked else 0
        self._mask_bytes = 4 if masked else 0
        self.rest = b""
        self.stopped = False
        self.skips = False
        self.skipped = 0
        self.has_more = False

    def feed(self, chunk: bytes, most: int = sys.maxsize) -> list[tuple[int, str | bytes]]:
        """The frames that are whole now, in order: opcode and payload; of a control frame the whole frame as it came.

        A close is the last that is taken: what follows it is nobody's message. After `most` frames the rest waits for the
        next call, and `has_more` says that there may be whole ones in it.
        """
        if self.stopped:
            self.rest += chunk
            return []
        if self.rest:
            chunk = self.rest + chunk
        frames: list[tuple[int, str | bytes]] = []
        at, size, mask_bytes = 0, len(chunk), self._mask_bytes
        self.has_more = False
        while size - at >= 2:
            if not most:
                self.has_more = True
                break
            opcode, length = chunk[at] ^ _FIN, chunk[at + 1] ^ self._mask_bit
            body = at + 2 + mask_bytes
            if length > _SHORT:  # a 16-bit length, a 64-bit one, or a wrong mask bit
                wide = 2 if length == _EXTENDED_16 else 8
                if length > _EXTENDED_16 + 1 or opcode not in self._data:
                    self.stopped = True
                    break
                if size < at + 2 + wide:
                    break
                length = int.from_bytes(chunk[at + 2 : at + 2 + wide])
                body += wide
                if length < (_LENGTH_16_FROM if wide == 2 else _LENGTH_64_FROM) or length > self._largest:
                    self.stopped = True
                    break
            elif opcode not in self._plain:
                self.stopped = True
                break
            end = body + length
            if size < end:
                break
            if CLOSE <= opcode <= PONG:
                if opcode == CLOSE or not self.skips:
                    frames.append((opcode, chunk[at:end]))
                at = end
                if opcode == CLOSE:
                    self.stopped = True
                    break
                most -= 1
                continue
            if self.skips:
                self.skipped += 1
                most -= 1
                at = end
                continue
            payload = apply_mask(chunk[body:end], chunk[body - 4 : body]) if mask_bytes else chunk[body:end]
            if self._joined or opcode in _IN_PARTS:
                if not self._join(opcode, payload):
                    self.stopped = True
                    break
                if opcode != _LAST_PART:
                    most -= 1
                    at = end
                    continue
                opcode, payload = self._joined, b"".join(self._parts)
                self._joined = 0
            if self._decode and opcode == TEXT:
                try:
                    frames.append((TEXT, payload.decode()))
                except UnicodeDecodeError:
                    self.stopped = True  # what becomes of that is the library's to say
                    break
            else:
                frames.append((opcode, payload))
            most -= 1
            at = end
        self.rest = chunk[at:] if at else chunk
        return frames

    @property
    def is_in_parts(self) -> bool:
        """Whether a message has begun whose last part has not come."""
        return self._joined != 0

    def _join(self, opcode: int, part: bytes) -> bool:
        """Add a part; False for one that is out of place, or one too many."""
        begins = opcode in _FIRST_PARTS
        if begins == bool(self._joined) or opcode not in _IN_PARTS:
            return False
        if begins:
            self._joined, self._parts = opcode ^ _FIN, []
        self._parts.append(part)
        return len(self._parts) <= MOST_PARTS and sum(map(len, self._parts)) <= self._largest

    def count(self, most: int) -> int:
        """How many whole messages wait in `rest`, looked for in its first `most` frames."""
        passing = PlainFrames(masked=bool(self._mask_bit), decode=False, largest=self._largest)
        passing.skips = True
        passing.feed(self.rest, most)
        return passing.skipped


_DATA: Final = frozenset({TEXT, BINARY})
_LAST_PART: Final = 0x0  # the final bit is taken out of what is compared
_FIRST_PARTS: Final = frozenset({TEXT | _FIN, BINARY | _FIN})
_IN_PARTS: Final = _FIRST_PARTS | {_LAST_PART, _LAST_PART | _FIN}
_PLAIN: Final = frozenset({TEXT, BINARY, CLOSE, PING, PONG})  # the last three are short by their definition
_KNOWN: Final = _PLAIN | {0x0}  # and the continuation of a message in parts
_RESERVED_BITS: Final = 0x70
_LENGTH_BYTES: Final = {_EXTENDED_16: 2, _EXTENDED_16 + 1: 8}
_SHORTEST: Final = {_EXTENDED_16: _LENGTH_16_FROM, _EXTENDED_16 + 1: _LENGTH_64_FROM}


def close_code_for(frame: bytes, largest: int) -> int:
    """With what to close for a client's frame at which `PlainFrames` has stopped; `UNSUPPORTED` is a message in parts.

    `frame` is `rest`: it has the header, and all of a message that is no UTF-8.
    """
    opcode, length = frame[0] ^ _FIN, frame[1] ^ _MASKED
    if length > _EXTENDED_16 + 1 or frame[0] & _RESERVED_BITS or opcode & ~_FIN not in _KNOWN:
        return PROTOCOL_ERROR  # no mask; an extension's bit, although none was agreed on; an opcode without a meaning
    if opcode & ~_FIN > BINARY:
        return PROTOCOL_ERROR  # a control frame that is too long or in parts: a sound one is plain
    header = 2 + _LENGTH_BYTES.get(length, 0)
    if len(frame) >= header and int.from_bytes(frame[2:header]) > largest:
        return TOO_BIG
    if opcode not in _DATA:
        return UNSUPPORTED
    return NOT_UTF8 if length <= _SHORT or int.from_bytes(frame[2:header]) >= _SHORTEST[length] else PROTOCOL_ERROR


def close_frame(code: int, reason: str = "") -> bytes:
    """A server's close; `reason` is cut to what a control frame holds, 123 bytes."""
    payload = code.to_bytes(2) + reason.encode()[: _SHORT - 2]
    return bytes((_FIN | CLOSE, len(payload))) + payload


def pong_frame(ping: bytes) -> bytes:
    """A server's answer to a client's whole ping, with what stood in it (RFC 6455, 5.5.3)."""
    mask, payload = ping[2:6], ping[6:]
    return bytes((_FIN | PONG, len(payload))) + apply_mask(payload, mask)


def text_frame(payload: bytes) -> bytes:
    """A server's text message in one frame; `payload` is UTF-8."""
    return _header(len(payload), 0) + payload


def masked_text_frame(payload: bytes) -> bytes:
    """A client's text message in one frame; `payload` is UTF-8. The mask is from the system's random numbers (10.3)."""
    mask = os.urandom(4)
    return _header(len(payload), _MASKED) + mask + apply_mask(payload, mask)


def _header(length: int, mask_bit: int) -> bytes:
    first = _FIN | TEXT
    if length <= _SHORT:
        return bytes((first, mask_bit | length))
    if length < _LENGTH_64_FROM:
        return bytes((first, mask_bit | _EXTENDED_16, length >> 8, length & 0xFF))
    return bytes((first, mask_bit | (_EXTENDED_16 + 1))) + length.to_bytes(8)
