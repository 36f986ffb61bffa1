"""The wire as clients other than the SDK see it: paths, credentials, setup, spelling, refusals."""

import asyncio
import base64
import json
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from callbot.simulators.gemini.handshake import read_path
from callbot.simulators.gemini.setup import SetupRefusedError, read_setup
from callbot.simulators.gemini.vad import VadSettings
from callbot.simulators.gemini.wire_reader import read_message

GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
SETUP = {"setup": {"model": "models/gemini-3.8-live"}}
KEY = {"x-goog-api-key": "k"}


def dial(standin: GeminiStandIn, path: str = GEMINI, headers: dict[str, str] | None = KEY, **options: Any) -> connect:
    url = standin.base_url.replace("https", "wss").replace("http:", "ws:") + path
    context = standin.client_ssl_context() if standin.options.tls else None
    return connect(url, ssl=context, additional_headers=headers, proxy=None, **options)


async def refusal(standin, *messages, path=GEMINI, headers=KEY):
    """Send these and return how the server closed."""
    async with dial(standin, path, headers) as wire:
        for message in messages:
            await wire.send(message if isinstance(message, str) else json.dumps(message))

        async def read_to_the_end():
            while True:
                await wire.recv()

        with pytest.raises(ConnectionClosed) as caught:
            await read_to_the_end()
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize(("target", "expected"), [
    (GEMINI, ("gemini", "v1beta")),
    ("/" + GEMINI, ("gemini", "v1beta")),
    ("/some/prefix" + GEMINI + "?key=abc", ("gemini", "v1beta")),
    (GEMINI.replace("v1beta", "v1alpha") + "Constrained", ("gemini", "v1alpha")),
    (VERTEX, ("vertex", "v1beta1")),
    ("//pre" + VERTEX.replace("v1beta1", "v1"), ("vertex", "v1")),
    ("/", ("vertex", "")),
    ("/something/else", None),
    (VERTEX.replace("/Bidi", ".Bidi"), None),
])  # fmt: skip
def test_paths_of_both_services_are_known(target, expected):
    assert read_path(target) == expected


@pytest.mark.parametrize(("path", "headers", "credential"), [
    (GEMINI, {"x-goog-api-key": "k"}, "k"),
    (GEMINI + "?key=k", None, "k"),
    (VERTEX + "?access_token=t", None, "t"),
    (GEMINI, {"Authorization": "Token auth_tokens/t", "x-goog-api-key": "auth_tokens/t"}, "auth_tokens/t"),
    (VERTEX, {"Authorization": "Bearer t"}, "t"),
])  # fmt: skip
async def test_every_way_of_showing_a_key_is_accepted(path, headers, credential):
    place = "publishers/google/models" if path.startswith(VERTEX) else "models"
    async with GeminiStandIn(StandInOptions(keys=frozenset({credential}))) as standin:
        async with dial(standin, path, headers) as wire:
            await wire.send(json.dumps({"setup": {"model": f"{place}/gemini-3.8-live"}}))
            assert json.loads(await wire.recv()) == {"setupComplete": {"sessionId": "session-1-1"}}
        assert standin.sessions[0].credential == credential


@pytest.mark.parametrize("headers", [None, {"x-goog-api-key": "wrong"}])
async def test_a_bad_key_is_refused_after_setup_as_the_service_does(headers):
    async with GeminiStandIn(StandInOptions(keys=frozenset({"right"}))) as standin:
        code, reason = await refusal(standin, SETUP, headers=headers)
    assert (code, reason) == (1007, "API key not valid. Please pass a valid API key.")


@pytest.mark.parametrize("status", ["401", "403", "429"])
async def test_a_bad_key_can_be_refused_at_the_upgrade(status):
    async with GeminiStandIn(StandInOptions(bad_key=status)) as standin:
        with pytest.raises(InvalidStatus) as caught:
            async with dial(standin, headers=None):
                pass
    assert caught.value.response.status_code == int(status)


async def test_an_unknown_path_is_not_found():
    async with GeminiStandIn() as standin:
        with pytest.raises(InvalidStatus) as caught:
            async with dial(standin, "/v1/models"):
                pass
    assert caught.value.response.status_code == 404


async def test_vertex_without_a_project_comes_to_the_bare_url(open_line):
    async with open_line() as line:
        context = line.standin.client_ssl_context()
        client = genai.Client(
            vertexai=True,
            http_options=types.HttpOptions(
                base_url=line.standin.base_url.replace("https", "wss") + "/",
                client_args={"verify": context},
                async_client_args={"ssl": context, "verify": context},
            ),
        )
        model = "publishers/google/models/gemini-3.8-live"
        async with client.aio.live.connect(model=model, config={}) as session:
            assert session.setup_complete is not None
        assert (line.last.path, line.last.mode, line.last.credential) == ("/", "vertex", None)


async def test_messages_are_binary_and_nothing_comes_before_setup():
    async with GeminiStandIn() as standin, dial(standin) as wire:
        assert wire.protocol.extensions == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.recv()
        await wire.send(json.dumps(SETUP))
        assert isinstance(await wire.recv(), bytes)


async def test_text_frames_compression_and_plain_sockets_are_options():
    options = StandInOptions(text_frames=True, compression=True, tls=False, session_ids=False)
    async with GeminiStandIn(options) as standin, dial(standin) as wire:
        assert [extension.name for extension in wire.protocol.extensions] == ["permessage-deflate"]
        await wire.send(json.dumps(SETUP))
        assert await wire.recv() == '{"setupComplete":{}}'
        assert standin.base_url.startswith("http://")
        with pytest.raises(RuntimeError, match="tls=False"):
            standin.client_ssl_context()


async def test_the_ca_is_written_where_asked(tmp_path):
    path = tmp_path / "ca.pem"
    async with GeminiStandIn(StandInOptions(ca_path=path)) as standin:
        assert standin.ca_pem_path == path
        assert path.read_text().startswith("-----BEGIN CERTIFICATE-----")


INVALID = "Request contains an invalid argument."
JSON = "Invalid JSON payload received."


@pytest.mark.parametrize(("messages", "reason"), [
    (["oops"], JSON),
    ([{"realtimeInput": {"text": "too early"}}], INVALID),
    ([{"setup": {}}], INVALID),
    ([SETUP, SETUP], INVALID),
    ([SETUP, {}], INVALID),
    ([SETUP, {"realtimeInput": {}, "clientContent": {}}], INVALID),
    ([SETUP, {"somethingNew": {}}], f'{JSON} Unknown name "somethingNew": Cannot find field.'),
    ([SETUP, {"realtimeInput": {"somethingNew": 1}}],
     f"{JSON} Unknown name \"somethingNew\" at 'realtime_input': Cannot find field."),
    ([SETUP, {"realtimeInput": {"audio": {"data": "%%%", "mimeType": "audio/pcm"}}}], INVALID),
    ([SETUP, {"realtimeInput": 3}],
     "Invalid value at 'realtime_input' (type.googleapis.com/BidiGenerateContentRealtimeInput), int"),
    ([SETUP, []], INVALID),
    ([SETUP, "not json"], JSON),
    ([SETUP, '{"realtimeInput":' * 2000], JSON),
    ([{"setup": {"model": "models/gemini-3.8-live", "nonsense": 1}}],
     f"{JSON} Unknown name \"nonsense\" at 'setup': Cannot find field."),
    # What parses and is wrong inside.
    ([SETUP, {"clientContent": {"turns": ["x"]}}],
     "Invalid value at 'client_content.turns[0]' (type.googleapis.com/Content), \"x\""),
    ([SETUP, {"clientContent": {"turns": [{"role": "user", "parts": ["x"]}]}}],
     "Invalid value at 'client_content.turns[0].parts[0]' (type.googleapis.com/Part), \"x\""),
    ([SETUP, {"clientContent": {"turns": [{"role": "user", "parts": [{"text": 1}]}]}}],
     "Invalid value at 'client_content.turns[0].parts[0].text' (TYPE_STRING), int"),
    ([SETUP, {"toolResponse": {"functionResponses": "x"}}],
     "Invalid value at 'tool_response.function_responses[0]' (type.googleapis.com/FunctionResponse), \"x\""),
    ([SETUP, {"realtimeInput": {"mediaChunks": ["x"]}}],
     "Invalid value at 'realtime_input.media_chunks[0]' (type.googleapis.com/Blob), \"x\""),
    ([SETUP, {"realtimeInput": {"audio": {"data": 5, "mimeType": "audio/pcm"}}}],
     "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), int"),
    ([SETUP, {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=99999999999"}}}], INVALID),
    ([SETUP, {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=0"}}}], INVALID),
    ([SETUP, {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm;rate=fast"}}}], INVALID),
    ([SETUP, {"realtimeInput": {"text": ["x"]}}], "Invalid value at 'realtime_input.text' (TYPE_STRING), list"),
    ([{"setup": {"model": "models/gemini-3.8-live", "realtimeInputConfig":
                 {"automaticActivityDetection": {"prefixPaddingMs": "abc"}}}}],
     "Invalid value at 'setup.realtime_input_config.automatic_activity_detection.prefix_padding_ms' (TYPE_INT32), \"abc\""),
    ([{"setup": {"model": "models/gemini-3.8-live", "realtimeInputConfig":
                 {"automaticActivityDetection": {"silence_duration_ms": 10**12}}}}],
     "Invalid value at 'setup.realtime_input_config.automatic_activity_detection.silence_duration_ms' (TYPE_INT32), int"),
    ([{"setup": {"model": "models/gemini-3.8-live", "tools": "x"}}],
     "Invalid value at 'setup.tools[0]' (type.googleapis.com/Tool), \"x\""),
    ([{"setup": {"model": 3}}], "Invalid value at 'setup.model' (TYPE_STRING), int"),
    ([{"setup": {"model": "models/gemini-3.8-live", "generationConfig": {"speechConfig": {"voice_config": {"speed": 2}}}}}],
     f"{JSON} Unknown name \"speed\" at 'setup.generation_config.speech_config.voice_config': Cannot find field."),
    ([{"setup": {"model": "models/gemini-3.8-live", "sessionResumption": {"transparent": True}}}],
     f"{JSON} Unknown name \"transparent\" at 'setup.session_resumption': Cannot find field."),
])  # fmt: skip
async def test_what_the_protocol_does_not_know_is_refused_with_1007(messages, reason):
    async with GeminiStandIn() as standin:
        assert await refusal(standin, *messages) == (1007, reason[:123])


async def test_a_client_that_never_sends_setup_is_closed():
    async with GeminiStandIn(StandInOptions(setup_timeout_s=0.02)) as standin:
        code, reason = await refusal(standin)
    assert (code, reason) == (1011, "Deadline expired before operation could complete.")


@pytest.mark.parametrize(("mode", "model"), [
    ("gemini", "models/gemini-live-2.5-flash-native-audio"),
    ("gemini", "models/gemini-2.0-flash"),
    ("vertex", "publishers/google/models/gemini-3.1-flash-live-preview"),
    ("vertex", "models/gemini-3.8-live"),
])  # fmt: skip
def test_a_model_of_the_other_mode_is_not_found(mode, model):
    with pytest.raises(SetupRefusedError) as caught:
        read_setup({"model": model}, mode=mode, version="v1beta", vad=VadSettings(), extra_models=frozenset())
    assert caught.value.code == 1008
    name = model.rpartition("/")[2]
    assert caught.value.reason.startswith(f"models/{name} is not found for API version v1beta, or is not supported")


def voice(name):
    return {"generationConfig": {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name}}}}}


@pytest.mark.parametrize(("model", "fields"), [
    ("gemini-3.8-live", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}),
    ("gemini-3.8-live", {"generationConfig": {"enableAffectiveDialog": True}}),
    ("gemini-3.8-live", {"proactivity": {"proactiveAudio": False}}),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["TEXT"]}}),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["AUDIO", "TEXT"]}}),
    ("gemini-3.8-live", {"sessionResumption": {"transparent": True}}),
    ("gemini-3.8-live", {"explicitVadSignal": True}),
    ("gemini-3.8-live", {"realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}}),
    ("gemini-3.8-live", voice("alloy")),
    ("gemini-2.5-flash-native-audio-latest", {"generationConfig": {"enableAffectiveDialog": True}}),
    ("gemini-2.5-flash-native-audio-latest", {"proactivity": {"proactiveAudio": True}}),
    ("gemini-3.8-live-extended-thinking", {}),
    ("gemini-3.8-live-extended-thinking", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}}),
    ("gemini-3.8-live-extended-thinking", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 100}}}),
    ("gemini-3.1-flash-live-preview", {"proactivity": {"proactiveAudio": True}}),
    ("gemini-3.8-live-extended-thinking",
     {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}},
      "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]}),
])  # fmt: skip
def test_what_a_model_does_not_support_is_an_invalid_argument(model, fields):
    body = {"model": f"models/{model}", **fields}
    with pytest.raises(SetupRefusedError) as caught:
        read_setup(body, mode="gemini", version="v1beta", vad=VadSettings(), extra_models=frozenset())
    assert caught.value.code == 1007


@pytest.mark.parametrize(("model", "version", "fields"), [
    ("gemini-2.5-flash-native-audio-latest", "v1alpha",
     {"generationConfig": {"enableAffectiveDialog": True}, "proactivity": {"proactiveAudio": True}}),
    ("gemini-3.8-live", "v1beta", {"proactivity": {"proactiveAudio": True}}),
    ("gemini-3.8-live", "v1beta", voice("PUCK")),
    ("gemini-3.8-live-extended-thinking", "v1beta", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}),
])  # fmt: skip
def test_what_a_model_and_a_version_do_support_is_taken(model, version, fields):
    body = {"model": f"models/{model}", **fields}
    asked = read_setup(body, mode="gemini", version=version, vad=VadSettings(), extra_models=frozenset())
    assert asked.model == model


async def test_the_sdks_mixed_spelling_is_understood_at_every_depth(open_line):
    config = types.LiveConnectConfig(
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(
                start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_LOW,
                prefix_padding_ms=20,
                silence_duration_ms=300,
            ),
            activity_handling=types.ActivityHandling.NO_INTERRUPTION,
        ),
        tools=[{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"a_b": {}}}}]}],
        labels={"my_label": "x"},
    )
    async with open_line() as line, line.connect(config) as _:
        assert line.last.asked.vad == VadSettings(
            prefix_padding_ms=20, silence_duration_ms=300, start_sensitivity="LOW", end_sensitivity="HIGH"
        )
        assert not line.last.asked.interrupts
        assert "automatic_activity_detection" in line.last.raw_setup["setup"]["realtimeInputConfig"]
        assert "automaticActivityDetection" in line.last.setup["realtimeInputConfig"]
        function = line.last.setup["tools"][0]["functionDeclarations"][0]
        assert list(function["parameters"]["properties"]) == ["a_b"]
        assert line.last.setup["labels"] == {"my_label": "x"}


def test_names_that_belong_to_the_user_keep_their_spelling():
    response = {"response": {"my_key": {"a_b": 1}}, "will_continue": True}
    assert read_message({"tool_response": {"function_responses": [response]}}) == {
        "toolResponse": {"functionResponses": [{"response": {"my_key": {"a_b": 1}}, "willContinue": True}]}
    }
    declaration = {
        "parameters": {"properties": {"a_b": {"any_of": [{"type": "string"}]}}},
        "parameters_json_schema": {"a_b": 1},
        "response_json_schema": {"a_b": 1},
    }
    message = read_message({"setup": {"tools": [{"function_declarations": [declaration]}], "labels": {"x_y": "z"}}})
    assert message["setup"] == {
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "parameters": {"properties": {"a_b": {"anyOf": [{"type": "STRING"}]}}},
                        "parametersJsonSchema": {"a_b": 1},
                        "responseJsonSchema": {"a_b": 1},
                    }
                ]
            }
        ],
        "labels": {"x_y": "z"},
    }


async def test_camel_case_media_chunks_and_standard_base64_are_accepted():
    pcm = b"\xfb\xef\xff\xbf" * 100
    text = base64.b64encode(pcm).decode()
    audio = {"data": text.rstrip("="), "mimeType": "audio/pcm"}
    picture = {"data": "", "mimeType": "image/jpeg"}
    async with GeminiStandIn(StandInOptions(listening="scripted")) as standin, dial(standin) as wire:
        await wire.send(json.dumps(SETUP).encode())  # a binary frame is as good
        await wire.recv()
        await wire.send(json.dumps({"realtimeInput": {"mediaChunks": [audio, picture]}}))
        await wire.send(json.dumps({"realtimeInput": {"audio": {"data": "", "mimeType": "audio/pcm;rate=16000"}}}))
        await wire.send(json.dumps({"realtimeInput": {"video": picture}}))
        await standin.wait_for(lambda: standin.sessions[0].messages_received == 3)
        assert bytes(standin.sessions[0].pcm) == pcm
        assert standin.sessions[0].kinds() == ["video", "video"]


async def test_odd_bytes_are_carried_to_the_next_message():
    async with GeminiStandIn(StandInOptions(listening="scripted")) as standin, dial(standin) as wire:
        await wire.send(json.dumps(SETUP))
        for part in (b"\x01\x02\x03", b"\x04"):
            blob = {"data": base64.b64encode(part).decode(), "mimeType": "audio/pcm"}
            await wire.send(json.dumps({"realtimeInput": {"audio": blob}}))
        await standin.wait_for(lambda: standin.sessions[0].samples == 2)
        assert bytes(standin.sessions[0].pcm) == b"\x01\x02\x03\x04"


async def test_waiting_for_something_that_does_not_happen_times_out():
    async with GeminiStandIn() as standin:
        with pytest.raises(TimeoutError):
            await standin.wait_for(lambda: standin.sessions, timeout_s=0.01)


async def test_driving_a_session_that_has_ended_says_so(open_line):
    async with open_line() as line:
        async with line.connect():
            pass
        await line.standin.wait_for(lambda: line.last.closed)
        with pytest.raises(RuntimeError, match="connection 1 has ended"):
            line.last.say(b"\0\0")


async def test_a_brain_that_fails_is_reported_when_the_stand_in_ends(open_line):
    class Broken:
        def answer(self, prompt, conversation):
            raise KeyError("no idea")

    async def call():
        async with open_line(brain=Broken()) as line, line.connect() as session:
            await session.send_realtime_input(text="go")
            with pytest.raises(errors.APIError):
                await anext(session.receive())

    with pytest.raises(ExceptionGroup) as caught:
        await call()
    assert caught.group_contains(KeyError, match="no idea")


@pytest.mark.parametrize("options", [{"chunk_bytes": ()}, {"burst": 0}, {"time_scale": 0}])
def test_options_that_make_no_sense_say_what_to_do(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        StandInOptions(**options)
