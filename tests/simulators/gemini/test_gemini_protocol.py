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
from callbot.simulators.gemini.casing import normalise
from callbot.simulators.gemini.handshake import read_path
from callbot.simulators.gemini.setup import SetupRefusedError, read_setup
from callbot.simulators.gemini.vad import VadSettings

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


@pytest.mark.parametrize(("messages", "reason"), [
    (["oops"], "Invalid JSON payload received."),
    ([{"realtimeInput": {"text": "too early"}}], "Request contains an invalid argument."),
    ([{"setup": {}}], "Request contains an invalid argument."),
    ([SETUP, SETUP], "Request contains an invalid argument."),
    ([SETUP, {"somethingNew": {}}], "Request contains an invalid argument."),
    ([SETUP, {"realtimeInput": {"somethingNew": 1}}], "Request contains an invalid argument."),
    ([SETUP, {"realtimeInput": {"audio": {"data": "%%%", "mimeType": "audio/pcm"}}}],
     "Request contains an invalid argument."),
    ([SETUP, {"realtimeInput": 3}], "Request contains an invalid argument."),
    ([SETUP, []], "Request contains an invalid argument."),
    ([SETUP, "not json"], "Invalid JSON payload received."),
    ([{"setup": {"model": "models/gemini-3.8-live", "nonsense": 1}}],
     "Invalid JSON payload received. Unknown name \"nonsense\" at 'setup': Cannot find field."),
])  # fmt: skip
async def test_what_the_protocol_does_not_know_is_refused_with_1007(messages, reason):
    async with GeminiStandIn() as standin:
        assert await refusal(standin, *messages) == (1007, reason)


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


@pytest.mark.parametrize(("model", "fields"), [
    ("gemini-3.8-live", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}),
    ("gemini-3.8-live", {"generationConfig": {"enableAffectiveDialog": True}}),
    ("gemini-3.8-live", {"proactivity": {"proactiveAudio": False}}),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["TEXT"]}}),
    ("gemini-3.8-live", {"generationConfig": {"responseModalities": ["AUDIO", "TEXT"]}}),
    ("gemini-3.8-live", {"sessionResumption": {"transparent": True}}),
    ("gemini-3.8-live", {"explicitVadSignal": True}),
    ("gemini-3.8-live", {"realtimeInputConfig": {"automaticActivityDetection":
                                                 {"startOfSpeechSensitivity": "START_SENSITIVITY_MEDIUM"}}}),
    ("gemini-3.1-flash-live-preview", {"proactivity": {"proactiveAudio": True}}),
    ("gemini-3.8-live-extended-thinking",
     {"tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]}),
])  # fmt: skip
def test_what_a_model_does_not_support_is_an_invalid_argument(model, fields):
    body = {"model": f"models/{model}", **fields}
    with pytest.raises(SetupRefusedError) as caught:
        read_setup(body, mode="gemini", version="v1beta", vad=VadSettings(), extra_models=frozenset())
    assert caught.value.code == 1007


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
    message = {
        "tool_response": {"function_responses": [{"response": {"my_key": {"a_b": 1}}, "will_continue": True}]},
        "args": {"x_y": 1},
        "parameters_json_schema": {"a_b": 1},
        "response_json_schema": {"a_b": 1},
    }
    assert normalise(message) == {
        "toolResponse": {"functionResponses": [{"response": {"my_key": {"a_b": 1}}, "willContinue": True}]},
        "args": {"x_y": 1},
        "parametersJsonSchema": {"a_b": 1},
        "responseJsonSchema": {"a_b": 1},
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
