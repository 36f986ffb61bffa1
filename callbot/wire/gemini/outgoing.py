"""What callbot sends to Gemini Live once the session is set up, as google-genai 3.4.0 would send it.

The SDK spends 50 to 70 us of Python on each audio message, this 2 to 8. The casing is the SDK's, mixed as it is: it
is the one that the service meets every day.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_AUDIO_HEAD: Final = b'{"realtime_input":{"audio":{"data":"'
_AUDIO_TAIL: Final = b'","mime_type":"audio/pcm;rate=16000"}}}'


class HistoryTurn(msgspec.Struct, frozen=True):
    """Something that was said before, by the caller ("user") or the model."""

    role: Literal["user", "model"]
    text: str


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a tool call. `id` and `name` are the call's; Gemini refuses an answer without id, Vertex takes it."""

    name: str
    response: Mapping[str, Any]
    id: str | None = None


def audio_message(pcm16k: bytes) -> bytes:
    """Make the message for a chunk of the caller's voice: s16 little-endian, 16 kHz, mono. ASCII, ready for a text frame.

    Raises ValueError for an empty chunk, which the service takes for audio, and for half a sample, after which it
    would hear noise.
    """
    if not pcm16k or len(pcm16k) % 2:
        raise ValueError(f"an audio chunk of {len(pcm16k)} bytes; send whole 16-bit samples, at least one")
    return _AUDIO_HEAD + binascii.b2a_base64(pcm16k, newline=False).translate(_TO_URL_SAFE) + _AUDIO_TAIL


def audio_stream_end_message() -> str:
    """Make the message that says the caller's audio pauses; the server then works off what it has cached."""
    return '{"realtime_input":{"audioStreamEnd":true}}'


def text_message(text: str) -> str:
    """Make the message that says something to the model in writing, as if the caller had. Raises ValueError if empty."""
    if not text:
        raise ValueError("there is no text to send; leave the message out")
    return _json({"realtime_input": {"text": text}})


def client_content_message(turns: Sequence[HistoryTurn] = (), *, turn_complete: bool) -> str:
    """Make the message that adds turns to the history; with `turn_complete` the model answers."""
    content: dict[str, Any] = {}
    if turns:
        content["turns"] = [{"parts": [{"text": turn.text}], "role": turn.role} for turn in turns]
    content["turnComplete"] = turn_complete
    return _json({"client_content": content})


def tool_response_message(results: Sequence[ToolResult]) -> str:
    """Make the message that answers tool calls. Raises ValueError if there is no answer, TypeError if not JSON."""
    if not results:
        raise ValueError("there is no tool result to send; leave the message out")
    return _json({"tool_response": {"functionResponses": [_function_response(result) for result in results]}})


def _function_response(result: ToolResult) -> dict[str, Any]:
    fields = {"id": result.id, "name": result.name, "response": result.response}
    return {key: value for key, value in fields.items() if value is not None}


def _json(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
