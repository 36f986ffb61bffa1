"""Ours against google-genai's own: the same JSON out, the same meaning in, for the Gemini API and for Vertex AI."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.genai import types
from google.genai.live import AsyncSession
from sdk_session import BACKENDS, Backend, SdkSession

from callbot.gemini.sdk_messages import model_message
from callbot.wire import gemini
from callbot.wire.gemini import HistoryTurn, ModelMessage, ToolResult, decode

PCM = bytes(range(256)) * 5  # every byte, so that base64's alphabets differ
VOICE = base64.b64encode(PCM).decode()


@pytest.fixture(scope="module")
def sdk() -> Iterator[SdkSession]:
    session = SdkSession()
    yield session
    session.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


class TestWhatWeSendIsWhatTheSdkSends:
    @pytest.mark.parametrize("size", [2, 640, 1280, 1278, 3200])
    async def test_audio(self, sdk: SdkSession, backend: Backend, size: int) -> None:
        pcm = (PCM * 3)[-size:]
        blob = types.Blob(data=pcm, mime_type="audio/pcm;rate=16000")
        sent = await sdk.sent(backend, lambda session: session.send_realtime_input(audio=blob))
        assert json.loads(gemini.audio_message(pcm)) == sent

    async def test_text(self, sdk: SdkSession, backend: Backend) -> None:
        text = 'She said: "hé\u2028!"\n\\'
        sent = await sdk.sent(backend, lambda session: session.send_realtime_input(text=text))
        assert json.loads(gemini.text_message(text)) == sent

    async def test_audio_stream_end(self, sdk: SdkSession, backend: Backend) -> None:
        sent = await sdk.sent(backend, lambda session: session.send_realtime_input(audio_stream_end=True))
        assert json.loads(gemini.audio_stream_end_message()) == sent

    @pytest.mark.parametrize("turn_complete", [True, False])
    @pytest.mark.parametrize(
        "turns", [(), (HistoryTurn("user", "Hello"),), (HistoryTurn("user", "Hi"), HistoryTurn("model", "Yes?"))]
    )
    async def test_client_content(
        self, sdk: SdkSession, backend: Backend, turns: tuple[HistoryTurn, ...], turn_complete: bool
    ) -> None:
        contents: list[Any] = [types.Content(role=turn.role, parts=[types.Part(text=turn.text)]) for turn in turns]

        async def send(session: AsyncSession) -> None:
            await session.send_client_content(turns=contents or None, turn_complete=turn_complete)

        sent = await sdk.sent(backend, send)
        assert json.loads(gemini.client_content_message(turns, turn_complete=turn_complete)) == sent

    async def test_tool_response(self, sdk: SdkSession, backend: Backend) -> None:
        results = (
            ToolResult(id="c1", name="weather", response={"deg_c": 21.5, "nested_key": {"someKey": [1, None, True]}}),
            ToolResult(id="c2", name="book", response={}),
        )
        responses = [
            types.FunctionResponse(id=result.id, name=result.name, response=dict(result.response)) for result in results
        ]
        sent = await sdk.sent(backend, lambda session: session.send_tool_response(function_responses=responses))
        assert json.loads(gemini.tool_response_message(results)) == sent

    async def test_tool_response_without_id_as_vertex_takes_it(self, sdk: SdkSession) -> None:
        response = types.FunctionResponse(name="weather", response={"ok": True})
        sent = await sdk.sent("vertex", lambda session: session.send_tool_response(function_responses=response))
        assert json.loads(gemini.tool_response_message([ToolResult(name="weather", response={"ok": True})])) == sent


def content(**fields: Any) -> dict[str, Any]:
    return {"serverContent": fields}


def parts(*fields: dict[str, Any]) -> dict[str, Any]:
    return content(modelTurn={"role": "model", "parts": list(fields)})


def blob(data: str, mime_type: str | None = "audio/pcm;rate=24000") -> dict[str, Any]:
    return {"inlineData": {"data": data} | ({"mimeType": mime_type} if mime_type else {})}


CATALOGUE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "setup complete": {"setupComplete": {}},
    "setup complete with session": {"setupComplete": {"sessionId": "s-1"}},
    "audio": parts(blob(VOICE)),
    "audio of 16 kHz": parts(blob(VOICE, "audio/pcm;rate=16000")),
    "audio without rate": parts(blob(VOICE, "audio/pcm")),
    "audio without mime type": parts(blob(VOICE, None)),
    "audio url-safe": parts(blob(base64.urlsafe_b64encode(PCM).decode())),
    "audio without padding": parts(blob(base64.b64encode(PCM[:-1]).decode().rstrip("="))),
    "audio url-safe without padding": parts(blob(base64.urlsafe_b64encode(PCM[:-2]).decode().rstrip("="))),
    "audio in several parts": parts(blob(VOICE), blob("AAA="), blob(VOICE)),
    "audio snake case": content(model_turn={"parts": [{"inline_data": {"mime_type": "audio/pcm", "data": VOICE}}]}),
    "audio and text": parts(blob(VOICE), {"text": "spoken"}, {"text": "thinking", "thought": True}),
    "text": parts({"text": "one "}, {"text": "two"}),
    "a part of another kind": parts({"executableCode": {"language": "PYTHON", "code": "1"}}, blob(VOICE)),
    "no parts": content(modelTurn={}),
    "interrupted": content(interrupted=True),
    "generation complete": content(generationComplete=True),
    "turn complete": content(turnComplete=True),
    "turn complete, why and what next": content(
        turnComplete=True, turnCompleteReason="NEED_MORE_INPUT", interactionStatus="IDLE"
    ),
    "turn complete snake case": content(turn_complete=True, turn_complete_reason="RESPONSE_REJECTED"),
    "flags that are false": content(interrupted=False, turnComplete=False, waitingForInput=False),
    "waiting for input": content(waitingForInput=True),
    "input transcription": content(
        inputTranscription={
            "text": " hi",
            "finished": False,
            "languageCode": "en-US",
            "speakerLabel": "spk_1",
            "words": [{"word": "hi", "startOffset": "0.1s", "endOffset": "0.3s"}],
            "startOffset": "0s",
            "endOffset": "1.2s",
        }
    ),
    "output transcription": content(outputTranscription={"text": "Grüß", "finished": True}),
    "transcription that only ends": content(outputTranscription={"finished": True}),
    "interim transcription": content(interimInputTranscription={"text": "h"}),
    "grounding": content(groundingMetadata={"webSearchQueries": ["q"]}, turnComplete=True),
    "grounding with sources": content(
        groundingMetadata={
            "webSearchQueries": ["q", "r"],
            "groundingChunks": [{"web": {"uri": "https://a.example/x", "title": "A"}}, {"web": {"uri": "https://b.example"}}],
        }
    ),
    "tool calls": {
        "toolCall": {
            "functionCalls": [
                {"id": "c1", "name": "f", "args": {"someKey": 1, "snake_key": {"innerKey": [None]}}},
                {"id": "c2", "name": "g"},
            ]
        }
    },
    "tool call without id": {"toolCall": {"functionCalls": [{"name": "f", "args": {}}]}},
    "tool call snake case": {"toolCall": {"function_calls": [{"id": "c1", "name": "f", "args": {}}]}},
    "tool call cancellation": {"toolCallCancellation": {"ids": ["c1", "c2"]}},
    "go away": {"goAway": {"timeLeft": "50s"}},
    "go away with a fraction": {"goAway": {"timeLeft": "57.5s"}},
    "go away without time": {"goAway": {}},
    "resumption": {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "12"}},
    "resumption with a number": {"sessionResumptionUpdate": {"lastConsumedClientMessageIndex": 12}},
    "resumption not now": {"sessionResumptionUpdate": {"resumable": False}},
    "resumption of nothing": {"sessionResumptionUpdate": {}},
    "resumption snake case": {"sessionResumptionUpdate": {"new_handle": "h", "resumable": True}},
    "voice activity start": {"voiceActivity": {"type": "ACTIVITY_START", "audioOffset": "1.5s"}},
    "voice activity end": {"voiceActivity": {"type": "ACTIVITY_END"}},
    "voice activity signal": {"voiceActivityDetectionSignal": {"vadSignalType": "VAD_SIGNAL_TYPE_SOS"}},
    "several at once": {
        "serverContent": {
            "modelTurn": {"parts": [blob(VOICE)]},
            "outputTranscription": {"text": "there"},
            "turnComplete": True,
        },
        "sessionResumptionUpdate": {"newHandle": "h2", "resumable": True},
        "goAway": {"timeLeft": "9s"},
    },
}

GEMINI_USAGE = {
    "usageMetadata": {
        "promptTokenCount": 10,
        "responseTokenCount": 25,
        "thoughtsTokenCount": 6,
        "toolUsePromptTokenCount": 4,
        "cachedContentTokenCount": 2,
        "totalTokenCount": 45,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}, {"modality": "TEXT", "tokenCount": 3}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 25}],
    }
}
VERTEX_USAGE = {
    "usageMetadata": {
        "promptTokenCount": 10,
        "candidatesTokenCount": 25,
        "totalTokenCount": 35,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}, {"modality": "TEXT", "tokenCount": 5}],
        "trafficType": "ON_DEMAND",
    }
}


def as_the_sdk_sees_it(message: types.LiveServerMessage) -> dict[str, Any]:
    """The SDK's message in the names of `ModelMessage`."""
    server = message.server_content or types.LiveServerContent()
    seen_parts = (server.model_turn and server.model_turn.parts) or []
    calls = (message.tool_call and message.tool_call.function_calls) or []
    update, usage, go_away = message.session_resumption_update, message.usage_metadata, message.go_away
    return {
        "setup_complete": message.setup_complete is not None,
        "audio": [part.inline_data.data for part in seen_parts if part.inline_data],
        "rates": [re.findall(r"\d+", part.inline_data.mime_type or "") for part in seen_parts if part.inline_data],
        "text": [part.text for part in seen_parts if part.text and not part.thought],
        "interrupted": bool(server.interrupted),
        "generation_complete": bool(server.generation_complete),
        "turn_complete": bool(server.turn_complete),
        "turn_complete_reason": server.turn_complete_reason and server.turn_complete_reason.value,
        "interaction_status": server.interaction_status and server.interaction_status.value,
        "input_transcription": _words(server.input_transcription),
        "output_transcription": _words(server.output_transcription),
        "tool_calls": [(call.id, call.name, call.args or {}) for call in calls],
        "cancelled": (message.tool_call_cancellation and message.tool_call_cancellation.ids) or [],
        "go_away": go_away is not None,
        "time_left": go_away and go_away.time_left,
        "grounding": _found(server.grounding_metadata),
        "resumption": update and (update.new_handle, bool(update.resumable)),
        "usage": usage
        and (
            usage.prompt_token_count,
            usage.response_token_count,
            usage.thoughts_token_count,
            usage.tool_use_prompt_token_count,
            usage.cached_content_token_count,
        ),
        "prompt_by_modality": _tokens(usage.prompt_tokens_details if usage else None),
        "response_by_modality": _tokens(usage.response_tokens_details if usage else None),
    }


def _words(transcription: types.Transcription | None) -> tuple[str, str] | None:
    return (transcription.text or "", transcription.language_code or "") if transcription else None


def _found(grounding: types.GroundingMetadata | None) -> tuple[list[str], list[str | None]] | None:
    if grounding is None:
        return None
    return grounding.web_search_queries or [], [chunk.web.uri for chunk in grounding.grounding_chunks or [] if chunk.web]


def _tokens(details: list[types.ModalityTokenCount] | None) -> dict[str, int | None]:
    return {entry.modality.value: entry.token_count for entry in details or [] if entry.modality}


def as_we_see_it(message: ModelMessage) -> dict[str, Any]:
    usage, update, go_away_s = message.usage, message.resumption, message.go_away_time_left_s
    heard, said = message.input_transcription, message.output_transcription
    return {
        "setup_complete": message.setup_complete,
        "audio": [part.pcm for part in message.audio],
        "rates": [[str(part.rate_hz)] for part in message.audio],
        "text": list(message.text),
        "interrupted": message.interrupted,
        "generation_complete": message.generation_complete,
        "turn_complete": message.turn_complete,
        "turn_complete_reason": message.turn_complete_reason,
        "interaction_status": message.interaction_status,
        "input_transcription": heard and (heard.text, heard.language),
        "output_transcription": said and (said.text, said.language),
        "tool_calls": [(call.id, call.name, call.args) for call in message.tool_calls],
        "cancelled": list(message.cancelled_tool_ids),
        "go_away": message.go_away,
        "time_left": None if go_away_s is None else f"{go_away_s:g}s",
        "grounding": message.grounding and (list(message.grounding.queries), list(message.grounding.sources)),
        "resumption": update and (update.handle, update.resumable),
        "usage": usage
        and (usage.prompt_tokens, usage.response_tokens, usage.thoughts_tokens, usage.tool_tokens, usage.cached_tokens),
        "prompt_by_modality": usage.prompt_by_modality if usage else {},
        "response_by_modality": usage.response_by_modality if usage else {},
    }


class TestWhatWeReadIsWhatTheSdkReads:
    @pytest.mark.parametrize("tree", CATALOGUE.values(), ids=CATALOGUE)
    async def test_every_kind_of_message(self, sdk: SdkSession, backend: Backend, tree: dict[str, Any]) -> None:
        await self.compare(sdk, backend, tree)

    @pytest.mark.parametrize(("backend", "tree"), [("gemini", GEMINI_USAGE), ("vertex", VERTEX_USAGE)])
    async def test_usage_under_either_backends_names(self, sdk: SdkSession, backend: Backend, tree: dict[str, Any]) -> None:
        ours = await self.compare(sdk, backend, tree)
        assert ours.usage
        assert ours.usage.response_tokens == 25

    async def compare(self, sdk: SdkSession, backend: Backend, tree: dict[str, Any]) -> ModelMessage:
        frame = json.dumps(tree).encode()
        ours = decode(frame)
        assert isinstance(ours, ModelMessage)
        read = await sdk.received(backend, frame)
        theirs = as_the_sdk_sees_it(read)
        assert as_we_see_it(model_message(read)) == as_we_see_it(ours)  # `CALLBOT_MODEL_CODEC=sdk` tells the same
        theirs["rates"] = [rate or ["24000"] for rate in theirs["rates"]]  # a rate left out means 24 kHz
        assert as_we_see_it(ours) == theirs
        assert ours.faults == ()
        assert ours.unknown_keys == ()
        assert decode(frame.decode()) == ours
        return ours
