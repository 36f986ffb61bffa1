"""Server messages that are not as they should be: no exception, and never a good field lost for a bad one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbot.wire.gemini import AudioPart, ModelMessage, ResumptionUpdate, ToolCall, Transcription, Unreadable, decode

PCM = bytes(range(256))
VOICE = base64.b64encode(PCM).decode()

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FULL_MESSAGE: dict[str, Any] = {
    "setupComplete": {"sessionId": "s"},
    "serverContent": {
        "modelTurn": {
            "role": "model",
            "parts": [
                {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": VOICE}},
                {"text": "words", "thought": False},
            ],
        },
        "interrupted": True,
        "generationComplete": True,
        "turnComplete": True,
        "turnCompleteReason": "NEED_MORE_INPUT",
        "interactionStatus": "IDLE",
        "inputTranscription": {"text": "in", "languageCode": "en-US"},
        "outputTranscription": {"text": "out", "languageCode": "en-US"},
        "groundingMetadata": {"webSearchQueries": ["q"], "groundingChunks": [{"web": {"uri": "https://a.example"}}]},
    },
    "toolCall": {"functionCalls": [{"id": "c1", "name": "f", "args": {"x": 1}}]},
    "toolCallCancellation": {"ids": ["c0"]},
    "goAway": {"timeLeft": "50s"},
    "sessionResumptionUpdate": {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "12"},
    "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}]},
    "voiceActivity": {"type": "ACTIVITY_START"},
}


def read(tree: object) -> ModelMessage:
    message = decode(json.dumps(tree).encode())
    assert isinstance(message, ModelMessage)
    return message


def content(**fields: Any) -> ModelMessage:
    return read({"serverContent": fields})


def parts(*fields: object, **beside: Any) -> ModelMessage:
    return content(modelTurn={"parts": list(fields)}, **beside)


def blob(data: object, mime_type: object = "audio/pcm;rate=24000") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def paths_of(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where every value of a JSON tree stands, containers included."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path] * bool(path) + [found for key, child in children for found in paths_of(child, (*path, key))]


def replaced(path: tuple[str | int, ...], value: object) -> Any:
    tree = json.loads(json.dumps(FULL_MESSAGE))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return tree


class TestAudio:
    @given(st.lists(st.binary(min_size=1, max_size=300), max_size=4))
    def test_any_audio_survives_in_order_on_the_fast_and_on_the_tolerant_path(self, chunks: list[bytes]) -> None:
        blobs = [blob(base64.b64encode(chunk).decode()) for chunk in chunks]
        expected = tuple(AudioPart(chunk, 24_000) for chunk in chunks)
        assert parts(*blobs).audio == expected
        assert parts(*blobs, interrupted=False).audio == expected
        urlsafe = [blob(base64.urlsafe_b64encode(chunk).decode().rstrip("=")) for chunk in chunks]
        assert parts(*urlsafe).audio == expected

    @pytest.mark.parametrize(
        ("mime_type", "rate_hz"),
        [
            ("audio/pcm;rate=24000", 24_000),
            ("audio/pcm;rate=16000", 16_000),
            ("audio/pcm; rate=48000", 48_000),
            ("AUDIO/PCM;channels=1;Rate=8000;x=y", 8000),
            ('audio/pcm;rate="22050"', 22_050),
            ("audio/pcm", 24_000),
            ("audio/pcm;", 24_000),
            ("", 24_000),
            (None, 24_000),
        ],
    )
    def test_the_rate_is_the_mime_types_and_24_khz_without_one(self, mime_type: object, rate_hz: int) -> None:
        message = parts(blob(VOICE, mime_type))
        assert message.audio == (AudioPart(PCM, rate_hz),)
        assert message.faults == ()

    @pytest.mark.parametrize("rate", ["fast", "", "-24000", "24000.5", "999", "99999999"])
    def test_a_rate_that_cannot_be_read_counts_as_24_khz_and_is_told(self, rate: str) -> None:
        message = parts(blob(VOICE, f"audio/pcm;rate={rate}"))
        assert message.audio == (AudioPart(PCM, 24_000),)
        assert message.faults == ("bad_rate",)

    @pytest.mark.parametrize("mime_type", ["image/jpeg", "audio/mpeg", "audio/wav;rate=24000", "pcm"])
    def test_what_is_not_pcm_is_not_played_as_noise(self, mime_type: str) -> None:
        message = parts(blob(VOICE, mime_type), blob("AAA="))
        assert message.audio == (AudioPart(b"\0\0", 24_000),)
        assert message.faults == ("not_pcm",)

    @pytest.mark.parametrize("data", ["!!!!", "AAAAA", "Ä===", "AA==AA=="])
    def test_a_part_with_bad_base64_costs_only_itself(self, data: str) -> None:
        message = parts(blob(VOICE), blob(data), blob("AAA="), turnComplete=True)
        assert message.audio == (AudioPart(PCM, 24_000), AudioPart(b"\0\0", 24_000))
        assert message.turn_complete
        assert message.faults == ("bad_base64",)

    def test_an_odd_number_of_bytes_is_handed_on_as_it_is(self) -> None:
        assert parts(blob("AAAA")).audio == (AudioPart(b"\0\0\0", 24_000),)

    def test_audio_of_no_length_is_no_audio(self) -> None:
        assert parts(blob("")) == parts(blob(""), interrupted=None) == ModelMessage()

    def test_thoughts_are_left_out_of_the_text(self) -> None:
        assert parts({"text": "a"}, {"text": "b", "thought": True}, {"text": ""}, {"text": "c"}).text == ("a", "c")


class TestBadFields:
    def test_the_full_message_has_everything(self) -> None:
        message = read(FULL_MESSAGE)
        defaults = ModelMessage()
        told = {name for name in ModelMessage.__struct_fields__ if getattr(message, name) != getattr(defaults, name)}
        assert told == set(ModelMessage.__struct_fields__) - {"unknown_keys", "faults"}

    @pytest.mark.parametrize("path", paths_of(FULL_MESSAGE), ids=lambda path: ".".join(map(str, path)))
    @pytest.mark.parametrize("value", [None, 1.5, "\u2028", [[]], {"new": {}}, True])
    def test_a_wrong_value_anywhere_leaves_all_other_fields_as_they_were(
        self, path: tuple[str | int, ...], value: object
    ) -> None:
        good, message = read(FULL_MESSAGE), read(replaced(path, value))
        changed = {name for name in ModelMessage.__struct_fields__ if getattr(message, name) != getattr(good, name)}
        changed -= {"faults", "unknown_keys"}
        allowed = {
            "setupComplete": {"setup_complete"},
            "toolCall": {"tool_calls"},
            "toolCallCancellation": {"cancelled_tool_ids"},
            "goAway": {"go_away", "go_away_time_left_s"},
            "sessionResumptionUpdate": {"resumption"},
            "usageMetadata": {"usage"},
            "voiceActivity": set(),
        }
        if path[0] in allowed:
            assert changed <= allowed[str(path[0])]
        elif len(path) > 1:
            assert len(changed) <= (2 if path[1] == "modelTurn" else 1)

    @pytest.mark.parametrize(
        ("path", "value", "fault"),
        [
            (("serverContent",), [], "wrong_type_server_content"),
            (("serverContent", "modelTurn"), "x", "wrong_type_model_turn"),
            (("serverContent", "modelTurn", "parts"), {}, "wrong_type_parts"),
            (("serverContent", "modelTurn", "parts", 0), "x", "wrong_type_parts"),
            (("serverContent", "modelTurn", "parts", 0, "inlineData", "data"), 5, "wrong_type_data"),
            (("serverContent", "interrupted"), "true", "wrong_type_interrupted"),
            (("serverContent", "turnCompleteReason"), 3, "wrong_type_turn_complete_reason"),
            (("serverContent", "inputTranscription"), "hi", "wrong_type_input_transcription"),
            (("toolCall", "functionCalls", 0, "args"), "{}", "wrong_type_args"),
            (("toolCall", "functionCalls", 0, "name"), None, "tool_call_without_name"),
            (("toolCallCancellation", "ids", 0), 5, "wrong_type_ids"),
            (("goAway", "timeLeft"), "soon", "bad_time_left"),
            (("goAway", "timeLeft"), 50, "wrong_type_time_left"),
            (("sessionResumptionUpdate", "newHandle"), 5, "wrong_type_new_handle"),
            (("usageMetadata", "promptTokenCount"), "many", "wrong_type_prompt_token_count"),
        ],
    )
    def test_each_fault_is_told_once_by_a_stable_name(self, path: tuple[str | int, ...], value: object, fault: str) -> None:
        assert read(replaced(path, value)).faults == (fault,)

    def test_the_same_fault_many_times_is_told_once(self) -> None:
        assert parts(*[blob("!")] * 50, *["x"] * 50).faults == ("wrong_type_parts", "bad_base64")

    @pytest.mark.parametrize("odd", ["x", [], 5, True])
    def test_a_signal_is_heard_even_if_its_body_is_odd(self, odd: object) -> None:
        message = read({"goAway": odd, "setupComplete": odd})
        assert message.go_away
        assert message.go_away_time_left_s is None
        assert message.setup_complete
        assert message.faults == ("wrong_type_go_away",)

    @pytest.mark.parametrize("time_left", ["", "50", "50 s", "-1s", "1m", "1e3s", "٣s", "9" * 400 + "s", None])
    def test_a_time_left_that_cannot_be_read_is_none_and_still_a_go_away(self, time_left: object) -> None:
        message = read({"goAway": {"timeLeft": time_left}})
        assert message.go_away
        assert message.go_away_time_left_s is None

    @pytest.mark.parametrize(("time_left", "seconds"), [("50s", 50), ("57.5s", 57.5), ("0s", 0), ("0.000001s", 1e-6)])
    def test_a_time_left_is_read_in_seconds(self, time_left: str, seconds: float) -> None:
        assert read({"goAway": {"timeLeft": time_left}}).go_away_time_left_s == seconds

    def test_an_empty_handle_is_no_handle(self) -> None:
        assert read({"sessionResumptionUpdate": {"newHandle": "", "resumable": True}}).resumption == ResumptionUpdate(
            None, resumable=True
        )

    def test_a_tool_call_without_arguments_has_none_and_its_neighbour_is_kept(self) -> None:
        message = read({"toolCall": {"functionCalls": [{"name": "f", "args": None}, {}, {"id": "", "name": "g"}]}})
        assert message.tool_calls == (ToolCall(None, "f", {}), ToolCall(None, "g", {}))

    def test_values_that_a_later_server_invents_are_handed_on(self) -> None:
        message = content(turnComplete=True, turnCompleteReason="TOO_LATE", interactionStatus="DREAMING")
        assert (message.turn_complete_reason, message.interaction_status) == ("TOO_LATE", "DREAMING")
        assert message.faults == ()

    def test_an_empty_transcription_is_one(self) -> None:
        assert content(outputTranscription={}).output_transcription == Transcription("")

    def test_usage_of_both_backends_at_once_prefers_geminis(self) -> None:
        usage = read({"usageMetadata": {"responseTokenCount": 0, "candidatesTokenCount": 5}}).usage
        assert usage
        assert usage.response_tokens == 0


class TestUnknownKeys:
    def test_they_are_told_and_do_no_harm(self) -> None:
        message = read({"interactionStatus": "IDLE", "serverContent": {"turnComplete": True, "mood": {}}})
        assert message.unknown_keys == ("interactionStatus", "serverContent.mood")
        assert message.turn_complete
        assert message.faults == ()

    def test_beside_audio_they_are_told_too(self) -> None:
        message = parts(blob(VOICE), mood=1)
        assert message.unknown_keys == ("serverContent.mood",)
        assert len(message.audio) == 1

    def test_they_are_bounded_in_number_and_length(self) -> None:
        message = read({f"{n}" + "x" * 1000: n for n in range(1000)})
        assert len(message.unknown_keys) == 16
        assert {len(key) for key in message.unknown_keys} == {64}


class TestUnreadable:
    @pytest.mark.parametrize(
        ("frame", "fault"),
        [
            (b"", "not_json"),
            ("", "not_json"),
            (b"\x00\x01", "not_json"),
            (b'{"serverContent":', "not_json"),
            (b"[]", "not_an_object"),
            (b"null", "not_an_object"),
            ('{"a":"\ud800"}', "invalid_utf8"),
            (b"[" * 60_000, "too_deep"),
            (b'{"serverContent":' + b'{"modelTurn":' * 50_000, "too_deep"),
            (b"x" * (4 * 1024 * 1024 + 1), "oversize"),
        ],
        ids=lambda value: value[:20].__repr__(),
    )
    def test_each_fault_has_its_name(self, frame: str | bytes, fault: str) -> None:
        assert decode(frame) == Unreadable(fault)

    @settings(max_examples=120)
    @given(st.text() | st.binary())
    def test_no_text_and_no_bytes_make_it_raise(self, anything: str | bytes) -> None:
        assert isinstance(decode(anything), Unreadable | ModelMessage)  # a small JSON object may turn up

    @settings(max_examples=120)
    @given(st.dictionaries(st.sampled_from(list(FULL_MESSAGE)) | st.text(), any_json))
    def test_no_json_makes_it_raise(self, tree: dict[str, Any]) -> None:
        decode(json.dumps(tree))

    @settings(max_examples=120)
    @given(st.sampled_from(paths_of(FULL_MESSAGE)), any_json)
    def test_no_value_anywhere_makes_it_raise(self, path: tuple[str | int, ...], value: object) -> None:
        decode(json.dumps(replaced(path, value)))
