"""The SDK's message objects as callbot's `ModelMessage`: the other half of `link.SdkLink`."""

import re
from typing import Final

from google.genai import types

from callbot.wire import gemini as wire

_DURATION: Final = re.compile(r"^(\d+(?:\.\d+)?)s$")  # protobuf's JSON form
_RATE: Final = re.compile(r"rate=(\d+)")
_DEFAULT_RATE_HZ: Final = 24_000


def model_message(message: types.LiveServerMessage) -> wire.ModelMessage:
    """Every field that callbot uses, of one message."""
    content = message.server_content or types.LiveServerContent()
    parts = (content.model_turn.parts or []) if content.model_turn else []
    update = message.session_resumption_update
    usage = message.usage_metadata
    return wire.ModelMessage(
        setup_complete=message.setup_complete is not None,
        audio=tuple(audio for part in parts if (audio := _audio(part)) is not None),
        text=tuple(part.text for part in parts if part.text and not part.thought),
        interrupted=bool(content.interrupted),
        generation_complete=bool(content.generation_complete),
        turn_complete=bool(content.turn_complete),
        turn_complete_reason=content.turn_complete_reason.value if content.turn_complete_reason else None,
        interaction_status=content.interaction_status.value if content.interaction_status else None,
        input_transcription=_transcription(content.input_transcription),
        output_transcription=_transcription(content.output_transcription),
        grounding=_grounding(content.grounding_metadata),
        tool_calls=_tool_calls(message.tool_call),
        cancelled_tool_ids=tuple((message.tool_call_cancellation.ids or []) if message.tool_call_cancellation else []),
        go_away=message.go_away is not None,
        go_away_time_left_s=_seconds(message.go_away.time_left) if message.go_away else None,
        resumption=wire.ResumptionUpdate(update.new_handle or None, bool(update.resumable)) if update else None,
        usage=wire.Usage(
            prompt_tokens=usage.prompt_token_count,
            response_tokens=usage.response_token_count,
            thoughts_tokens=usage.thoughts_token_count,
            tool_tokens=usage.tool_use_prompt_token_count,
            cached_tokens=usage.cached_content_token_count,
            prompt_by_modality=_by_modality(usage.prompt_tokens_details),
            response_by_modality=_by_modality(usage.response_tokens_details),
        )
        if usage
        else None,
    )


def _audio(part: types.Part) -> wire.AudioPart | None:
    blob = part.inline_data
    if blob is None or not blob.data or not (blob.mime_type or "audio/pcm").startswith("audio/"):
        return None
    rate = _RATE.search(blob.mime_type or "")
    return wire.AudioPart(blob.data, int(rate[1]) if rate else _DEFAULT_RATE_HZ)


def _transcription(said: types.Transcription | None) -> wire.Transcription | None:
    return wire.Transcription(said.text or "", said.language_code or "") if said else None


def _grounding(found: types.GroundingMetadata | None) -> wire.Grounding | None:
    if found is None:
        return None
    queries = tuple(found.web_search_queries or ())
    sources = tuple(chunk.web.uri for chunk in found.grounding_chunks or () if chunk.web and chunk.web.uri)
    return wire.Grounding(queries, sources) if queries or sources else None


def _by_modality(details: list[types.ModalityTokenCount] | None) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for entry in details or ():
        modality = entry.modality.value if entry.modality else "MODALITY_UNSPECIFIED"
        tokens[modality] = tokens.get(modality, 0) + (entry.token_count or 0)
    return tokens


def _tool_calls(tool_call: types.LiveServerToolCall | None) -> tuple[wire.ToolCall, ...]:
    calls = (tool_call.function_calls or []) if tool_call else []
    return tuple(wire.ToolCall(call.id, call.name or "", dict(call.args or {})) for call in calls)


def _seconds(text: str | None) -> float | None:
    match = _DURATION.match(text or "")
    return float(match[1]) if match else None
