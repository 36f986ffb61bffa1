"""The server's messages as bytes, with the exact casing of the service, and the decoding of caller audio.

Top-level keys must be camelCase: google-genai 3.4.0 accepts nothing else there.
"""

import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

MODEL_BYTES_PER_S = 48_000  # 24 kHz, 16-bit, mono
_AUDIO_TAIL = b'"}}]}}}'
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return one message as JSON."""
    return orjson.dumps(message)


def audio(pcm: bytes, mime_type: str = "audio/pcm;rate=24000") -> bytes:
    """Return a modelTurn with one inlineData part; built by concatenation, because a load test makes thousands."""
    head = b'{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"'
    return b"".join((head, mime_type.encode(), b'","data":"', binascii.b2a_base64(pcm, newline=False), _AUDIO_TAIL))


def content(**fields: Any) -> bytes:
    """Return a serverContent message with these fields."""
    return orjson.dumps({"serverContent": fields})


def thought(text: str) -> bytes:
    """Return a thought part."""
    return content(modelTurn={"role": "model", "parts": [{"text": text, "thought": True}]})


def text(words: str) -> bytes:
    """Return a text part, which an audio model should not send and does."""
    return content(modelTurn={"role": "model", "parts": [{"text": words}]})


def tool_call(calls: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a toolCall message."""
    return orjson.dumps({"toolCall": {"functionCalls": list(calls)}})


def flooding(kind: str, index: int) -> bytes:
    """Return one of many: a toolCall that no declaration allows for, or a message of keys that do not exist."""
    if kind == "toolCall":
        return tool_call([{"id": f"flood-{index}", "name": f"flood_{index}", "args": {}}])
    return orjson.dumps({f"somethingNew{index}": {}, "serverContent": {f"somethingElse{index}": True}})


def tool_call_cancellation(ids: Sequence[str]) -> bytes:
    """Return a toolCallCancellation message."""
    return orjson.dumps({"toolCallCancellation": {"ids": list(ids)}})


def go_away(time_left: str | None) -> bytes:
    """Return a goAway message; `time_left` is a protobuf duration such as "50s", None leaves it out."""
    return orjson.dumps({"goAway": {} if time_left is None else {"timeLeft": time_left}})


def resumption_update(handle: str, *, resumable: bool, index: int | None) -> bytes:
    """Return a sessionResumptionUpdate; int64 travels as a string in protobuf JSON."""
    body: dict[str, Any] = {"newHandle": handle if resumable else "", "resumable": resumable}
    if index is not None:
        body["lastConsumedClientMessageIndex"] = str(index)
    return orjson.dumps({"sessionResumptionUpdate": body})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a turn cost, in tokens: prompt by modality, tools' results, answer, thoughts."""

    heard: int
    read: int
    tools: int
    said: int
    thought: int


def usage(tokens: Tokens, *, vertex: bool) -> dict[str, Any]:
    """Return the usageMetadata object with the field names of the mode; counts of nothing are left out."""
    name = "candidatesToken" if vertex else "responseToken"
    prompt = tokens.heard + tokens.read
    details = [("AUDIO", tokens.heard), ("TEXT", tokens.read)]
    body: dict[str, Any] = {
        "promptTokenCount": prompt,
        f"{name}Count": tokens.said,
        "toolUsePromptTokenCount": tokens.tools,
        "thoughtsTokenCount": tokens.thought,
        "totalTokenCount": prompt + tokens.said + tokens.tools + tokens.thought,
        "promptTokensDetails": [{"modality": kind, "tokenCount": count} for kind, count in details if count],
        f"{name}sDetails": [{"modality": "AUDIO", "tokenCount": tokens.said}],
    }
    for field in ("toolUsePromptTokenCount", "thoughtsTokenCount"):
        if not body[field]:
            del body[field]
    if vertex:
        body["trafficType"] = "ON_DEMAND"
    return body


def decode_audio(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet, with or without padding.

    Raises:
        ValueError: it is not base64.
    """
    raw = text.encode("ascii").translate(_URL_SAFE)
    if missing := -len(raw) % 4:
        raw += b"=" * missing
    return binascii.a2b_base64(raw, strict_mode=True)


def cut(pcm: bytes, sizes: Sequence[int], first: int = 0) -> Iterator[bytes]:
    """Yield `pcm` in pieces of the given sizes, in a circle beginning at index `first`."""
    offset, index = 0, first
    while offset < len(pcm):
        size = sizes[index % len(sizes)]
        yield pcm[offset : offset + size]
        offset += size
        index += 1


def fragments(text: str) -> list[str]:
    """Return a transcript as the service sends it: a word at a time, all but the first with a leading space."""
    words = text.split()
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def cut_reason(reason: str) -> str:
    """Return as much of a close reason as a close frame holds: 123 bytes of UTF-8 (RFC 6455, 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")
