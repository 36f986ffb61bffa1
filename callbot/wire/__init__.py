"""The two wire formats, as pure code: Twilio's Media Streams and Gemini Live.

Decoding takes whatever a socket gave and never raises: it gives a message, or `Unreadable` with the kind of fault.
Encoding is strict: what would be a protocol fault at the other end is a ValueError here. Messages are frozen
`msgspec.Struct`s, because a decoder makes thousands a second and a frozen dataclass costs several times as much to
make. No I/O, no clock, nothing else of callbot.
"""

from callbot.wire.reading import Unreadable

__all__ = ["Unreadable"]
