"""What the Gemini Live server sends, decoded.

Two paths give the same messages. The fast one takes a message that is audio and nothing else, nine in ten while the
model speaks; it refuses whatever it does not know, so that nothing is lost by it. The tolerant one reads any JSON
field by field: a value of the wrong type costs that field and leaves a fault, never the message.

Keys may be in camelCase or snake_case everywhere, as protobuf's JSON readers take them (the SDK wants camelCase at the
top). The names below are the camelCase ones.
"""

import re
from functools import cache
from typing import Any, Final

import msgspec

from callbot.wire.gemini.model_message import (
    AudioPart,
    Grounding,
    ModelMessage,
    ResumptionUpdate,
    ToolCall,
    Transcription,
    Usage,
)
from callbot.wire.reading import Unreadable, read_base64, read_count, read_object

LARGEST_FRAME: Final = 4 * 1024 * 1024
"""The largest seen is 20 kB (320 ms of audio); this leaves room for a whole answer in one message."""

USUAL_RATE_HZ: Final = 24_000
"""What the model speaks in; some messages say "audio/pcm" and no more."""

_USUAL_MIME_TYPE: Final = "audio/pcm;rate=24000"
_RATE: Final = re.compile(r";\s*rate\s*=\s*\"?([1-9][0-9]{3,5})\"?\s*(?:;|$)")
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_MOST_UNKNOWN_KEYS: Final = 16
_LONGEST_KEY: Final = 64


@cache
def _snake(name: str) -> str:
    """Give a camelCase name in snake_case. Only ever called with the names in this module."""
    return re.sub("([A-Z])", r"_\1", name).lower()


def _either_casing(*names: str) -> frozenset[str]:
    return frozenset(names) | frozenset(map(_snake, names))


_TOP_KEYS: Final = _either_casing(
    "setupComplete",
    "serverContent",
    "toolCall",
    "toolCallCancellation",
    "goAway",
    "sessionResumptionUpdate",
    "usageMetadata",
    "voiceActivity",  # this one and the next are known, and left alone: only for projects on a list
    "voiceActivityDetectionSignal",
)
_CONTENT_KEYS: Final = _either_casing(
    "modelTurn",
    "interrupted",
    "generationComplete",
    "turnComplete",
    "turnCompleteReason",
    "interactionStatus",
    "inputTranscription",
    "outputTranscription",
    "groundingMetadata",
    # Known, and left alone: nothing in a call needs them.
    "waitingForInput",
    "interimInputTranscription",
    "urlContextMetadata",
)


def decode(frame: str | bytes) -> ModelMessage | Unreadable:
    """Decode one WebSocket frame, text or binary (the service sends its JSON in binary ones); never raises."""
    if len(frame) > LARGEST_FRAME:
        return Unreadable("oversize")
    return _audio_only(frame) or _decode_tolerantly(frame)


# The fast path.


class _InlineData(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    mime_type: str
    data: bytes  # msgspec takes the base64 off, standard alphabet with padding


class _Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    inline_data: _InlineData


class _ModelTurn(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    parts: tuple[_Part, ...]
    role: str | None = None


class _ServerContent(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    model_turn: _ModelTurn


class _AudioOnly(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    server_content: _ServerContent


_read_audio_only: Final = msgspec.json.Decoder(_AudioOnly).decode


def _audio_only(frame: str | bytes) -> ModelMessage | None:
    try:
        parts = _read_audio_only(frame).server_content.model_turn.parts
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    audio: list[AudioPart] = []
    for part in parts:
        mime_type = part.inline_data.mime_type
        rate_hz = USUAL_RATE_HZ if mime_type == _USUAL_MIME_TYPE else _is_pcm(mime_type) and _rate_hz(mime_type)
        if not rate_hz:
            return None  # the tolerant path names the fault
        if part.inline_data.data:
            audio.append(AudioPart(part.inline_data.data, rate_hz))
    return ModelMessage(audio=tuple(audio))


def _is_pcm(mime_type: str) -> bool:
    return mime_type.partition(";")[0].strip().lower() == "audio/pcm"


def _rate_hz(mime_type: str) -> int | None:
    """Give the sample rate of "audio/pcm;rate=24000", the usual one if it names none, None if it cannot be read."""
    parameters = mime_type.lower().partition(";")[2]
    if "rate" not in parameters:
        return USUAL_RATE_HZ
    match = _RATE.search(";" + parameters)
    return int(match[1]) if match else None


# The tolerant path.


def _decode_tolerantly(frame: str | bytes) -> ModelMessage | Unreadable:
    tree = read_object(frame)
    return tree if isinstance(tree, Unreadable) else _Reading().message(tree)


class _Reading:
    """One message being read: the fields are fetched through it, so that it can note what was wrong with them."""

    __slots__ = ("faults",)

    def __init__(self) -> None:
        self.faults: dict[str, None] = {}  # an ordered set

    def message(self, tree: dict[str, Any]) -> ModelMessage:
        content = self._object(tree, "serverContent") or {}
        go_away = self._object(tree, "goAway")
        audio, text = self._parts(self._object(content, "modelTurn"))
        return ModelMessage(
            # These two are signals by their presence: what is wrong inside must not hide them.
            setup_complete=self._field(tree, "setupComplete") is not None,
            audio=audio,
            text=text,
            interrupted=self._flag(content, "interrupted"),
            generation_complete=self._flag(content, "generationComplete"),
            turn_complete=self._flag(content, "turnComplete"),
            turn_complete_reason=self._text(content, "turnCompleteReason"),
            interaction_status=self._text(content, "interactionStatus"),
            input_transcription=self._transcription(content, "inputTranscription"),
            output_transcription=self._transcription(content, "outputTranscription"),
            grounding=self._grounding(self._object(content, "groundingMetadata")),
            tool_calls=self._tool_calls(self._object(tree, "toolCall")),
            cancelled_tool_ids=self._cancelled(self._object(tree, "toolCallCancellation")),
            go_away=self._field(tree, "goAway") is not None,
            go_away_time_left_s=self._seconds(go_away, "timeLeft"),
            resumption=self._resumption(self._object(tree, "sessionResumptionUpdate")),
            usage=self._usage(self._object(tree, "usageMetadata")),
            unknown_keys=self._unknown_keys(tree, content),
            faults=tuple(self.faults),
        )

    # What callbot needs, one method for each kind of content.

    def _parts(self, model_turn: dict[str, Any] | None) -> tuple[tuple[AudioPart, ...], tuple[str, ...]]:
        audio: list[AudioPart] = []
        texts: list[str] = []
        for part in self._objects(model_turn, "parts"):
            blob = self._object(part, "inlineData")
            if blob is not None:
                self._add_audio(blob, audio)
            text = self._text(part, "text")
            if text and not self._flag(part, "thought"):
                texts.append(text)
        return tuple(audio), tuple(texts)

    def _add_audio(self, blob: dict[str, Any], audio: list[AudioPart]) -> None:
        mime_type = self._text(blob, "mimeType") or "audio/pcm"
        if not _is_pcm(mime_type):
            self._fault("not_pcm")  # played as samples it would be loud noise
            return
        rate_hz = _rate_hz(mime_type)
        if rate_hz is None:
            self._fault("bad_rate")
            rate_hz = USUAL_RATE_HZ
        encoded = self._text(blob, "data")
        if not encoded:
            return
        pcm = read_base64(encoded)
        if pcm is None:
            self._fault("bad_base64")
        elif pcm:
            audio.append(AudioPart(pcm, rate_hz))

    def _transcription(self, content: dict[str, Any], name: str) -> Transcription | None:
        fields = self._object(content, name)
        if fields is None:
            return None
        return Transcription(self._text(fields, "text") or "", self._text(fields, "languageCode") or "")

    def _grounding(self, grounding: dict[str, Any] | None) -> Grounding | None:
        if grounding is None:
            return None
        queries = tuple(query for query in self._list(grounding, "webSearchQueries") if isinstance(query, str))
        found = (self._text(self._object(chunk, "web"), "uri") for chunk in self._objects(grounding, "groundingChunks"))
        sources = tuple(uri for uri in found if uri)
        return Grounding(queries, sources) if queries or sources else None

    def _tool_calls(self, tool_call: dict[str, Any] | None) -> tuple[ToolCall, ...]:
        calls: list[ToolCall] = []
        for call in self._objects(tool_call, "functionCalls"):
            name = self._text(call, "name")
            if not name:
                self._fault("tool_call_without_name")
                continue
            calls.append(ToolCall(self._text(call, "id") or None, name, self._object(call, "args") or {}))
        return tuple(calls)

    def _cancelled(self, cancellation: dict[str, Any] | None) -> tuple[str, ...]:
        ids = self._list(cancellation, "ids")
        if not all(isinstance(call_id, str) for call_id in ids):
            self._fault("wrong_type_ids")
        return tuple(call_id for call_id in ids if isinstance(call_id, str))

    def _resumption(self, update: dict[str, Any] | None) -> ResumptionUpdate | None:
        if update is None:
            return None
        return ResumptionUpdate(self._text(update, "newHandle") or None, self._flag(update, "resumable"))

    def _usage(self, usage: dict[str, Any] | None) -> Usage | None:
        if usage is None:
            return None
        response_tokens = self._count(usage, "responseTokenCount")  # Gemini's name; Vertex says candidates
        return Usage(
            prompt_tokens=self._count(usage, "promptTokenCount"),
            response_tokens=self._count(usage, "candidatesTokenCount") if response_tokens is None else response_tokens,
            thoughts_tokens=self._count(usage, "thoughtsTokenCount"),
            tool_tokens=self._count(usage, "toolUsePromptTokenCount"),
            cached_tokens=self._count(usage, "cachedContentTokenCount"),
            prompt_by_modality=self._by_modality(usage, "promptTokensDetails"),
            response_by_modality=self._by_modality(usage, "responseTokensDetails")
            or self._by_modality(usage, "candidatesTokensDetails"),
        )

    def _by_modality(self, usage: dict[str, Any], name: str) -> dict[str, int]:
        tokens: dict[str, int] = {}
        for entry in self._objects(usage, name):
            modality = self._text(entry, "modality") or "MODALITY_UNSPECIFIED"
            tokens[modality] = tokens.get(modality, 0) + (self._count(entry, "tokenCount") or 0)
        return tokens

    def _unknown_keys(self, tree: dict[str, Any], content: dict[str, Any]) -> tuple[str, ...]:
        unknown = [key for key in tree if key not in _TOP_KEYS]
        unknown += [f"serverContent.{key}" for key in content if key not in _CONTENT_KEYS]
        return tuple(key[:_LONGEST_KEY] for key in unknown[:_MOST_UNKNOWN_KEYS])

    # Fetching one field: None, False or empty if it is missing or null, and with a fault if it is something else.

    def _fault(self, kind: str) -> None:
        self.faults[kind] = None

    def _wrong_type(self, name: str) -> None:
        self._fault(f"wrong_type_{_snake(name)}")

    def _field(self, parent: dict[str, Any] | None, name: str) -> Any:
        if not parent:
            return None
        value = parent.get(name)
        return value if value is not None else parent.get(_snake(name))

    def _object(self, parent: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
        value = self._field(parent, name)
        if value is None or isinstance(value, dict):
            return value
        self._wrong_type(name)
        return None

    def _list(self, parent: dict[str, Any] | None, name: str) -> list[Any]:
        value = self._field(parent, name)
        if isinstance(value, list):
            return value
        if value is not None:
            self._wrong_type(name)
        return []

    def _objects(self, parent: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
        entries = self._list(parent, name)
        objects = [entry for entry in entries if isinstance(entry, dict)]
        if len(objects) != len(entries):
            self._wrong_type(name)
        return objects

    def _text(self, parent: dict[str, Any] | None, name: str) -> str | None:
        value = self._field(parent, name)
        if value is None or isinstance(value, str):
            return value
        self._wrong_type(name)
        return None

    def _flag(self, parent: dict[str, Any] | None, name: str) -> bool:
        value = self._field(parent, name)
        if isinstance(value, bool):
            return value
        if value is not None:
            self._wrong_type(name)
        return False

    def _count(self, parent: dict[str, Any] | None, name: str) -> int | None:
        value = self._field(parent, name)
        count = read_count(value)
        if count is None and value is not None:
            self._wrong_type(name)
        return count

    def _seconds(self, parent: dict[str, Any] | None, name: str) -> float | None:
        """Read protobuf's duration: "50s", "57.5s"."""
        text = self._text(parent, name)
        if text is None:
            return None
        match = _DURATION.fullmatch(text)
        if match is None:
            self._fault(f"bad_{_snake(name)}")
            return None
        return float(match[1])
