"""Twilio Media Streams, bidirectional: its messages in, our three messages out.

Source: Twilio, "Media Streams: WebSocket messages", and captured traffic.
"""

from callbot.wire.reading import Unreadable
from callbot.wire.twilio.incoming import (
    Connected,
    Dtmf,
    Incoming,
    Mark,
    Media,
    MediaFormat,
    Start,
    Stop,
    decode,
    is_account_sid,
    is_call_sid,
    is_stream_sid,
)
from callbot.wire.twilio.outgoing import (
    MARK,
    TwilioEncoder,
    clear_message,
    mark_message,
    mark_name,
    media_message,
    parse_mark,
)

__all__ = [
    "MARK",
    "Connected",
    "Dtmf",
    "Incoming",
    "Mark",
    "Media",
    "MediaFormat",
    "Start",
    "Stop",
    "TwilioEncoder",
    "Unreadable",
    "clear_message",
    "decode",
    "is_account_sid",
    "is_call_sid",
    "is_stream_sid",
    "mark_message",
    "mark_name",
    "media_message",
    "parse_mark",
]
