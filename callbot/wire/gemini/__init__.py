"""Gemini Live's JSON: one server message in, one `ModelMessage` out; our messages as google-genai 3.4.0 writes them.

Source: google-genai 3.4.0 (`live.py`, `_live_converters.py`, `types.py`), and what was seen on the wire.
"""

from callbot.wire.gemini.incoming import decode
from callbot.wire.gemini.model_message import (
    AudioPart,
    Grounding,
    ModelMessage,
    ResumptionUpdate,
    ToolCall,
    Transcription,
    Usage,
)
from callbot.wire.gemini.outgoing import (
    HistoryTurn,
    ToolResult,
    audio_message,
    audio_stream_end_message,
    client_content_message,
    text_message,
    tool_response_message,
)
from callbot.wire.reading import Unreadable

__all__ = [
    "AudioPart",
    "Grounding",
    "HistoryTurn",
    "ModelMessage",
    "ResumptionUpdate",
    "ToolCall",
    "ToolResult",
    "Transcription",
    "Unreadable",
    "Usage",
    "audio_message",
    "audio_stream_end_message",
    "client_content_message",
    "decode",
    "text_message",
    "tool_response_message",
]
