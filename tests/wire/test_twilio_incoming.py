"""Twilio's messages: as recorded, as they might become, and as nobody should send them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio_recordings import (
    ACCOUNT_SID,
    CALL_SID,
    CONNECTED,
    DTMF,
    FRAME,
    FRAME_BASE64,
    MARK,
    MEDIA,
    START,
    STOP,
    STREAM_SID,
)

from callbot.wire import twilio
from callbot.wire.twilio import Connected, Dtmf, Mark, Media, MediaFormat, Start, Stop, Unreadable, decode

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
BODY_KEYS = (
    *("payload", "chunk", "timestamp", "track", "digit", "name", "protocol", "version"),
    *("streamSid", "callSid", "accountSid", "mediaFormat", "customParameters", "sampleRate", "encoding"),
)
EVENTS = ("connected", "start", "media", "dtmf", "mark", "stop")


def message(event: str, **body: Any) -> str:
    return json.dumps({"event": event, "streamSid": STREAM_SID, event: body})


class TestRecordedMessages:
    def test_connected(self) -> None:
        assert decode(CONNECTED) == Connected("Call", "1.0.0")

    def test_start(self) -> None:
        assert decode(START) == Start(
            stream_sid=STREAM_SID,
            call_sid=CALL_SID,
            account_sid=ACCOUNT_SID,
            media_format=MediaFormat("audio/x-mulaw", 8000, 1),
            custom_parameters={"token": "b7.x_-", "stream_no": "1"},
        )

    def test_media(self) -> None:
        assert decode(MEDIA) == Media(FRAME, 1, 102, "inbound")

    def test_dtmf(self) -> None:
        assert decode(DTMF) == Dtmf("5")

    def test_mark(self) -> None:
        assert decode(MARK) == Mark("t7-42")

    def test_stop(self) -> None:
        assert decode(STOP) == Stop(CALL_SID, ACCOUNT_SID)

    @pytest.mark.parametrize("recorded", [CONNECTED, START, MEDIA, DTMF, MARK, STOP])
    def test_key_order_whitespace_and_new_keys_make_no_difference(self, recorded: str) -> None:
        tree = json.loads(recorded)
        tree["region"] = {"new": [1, None]}
        body = tree.get(tree["event"])
        if body is not None:
            body["new"] = {"deeper": True}
        turned = json.dumps(dict(reversed(tree.items())), indent=2)
        assert decode(turned) == decode(recorded)


class TestMedia:
    @pytest.mark.parametrize("chunk", ["7", 7, 7.0])
    def test_numbers_and_strings_stand_for_each_other(self, chunk: object) -> None:
        assert decode(message("media", payload=FRAME_BASE64, chunk=chunk, timestamp=chunk)) == Media(FRAME, 7, 7)

    @pytest.mark.parametrize("chunk", [None, "x", "", "-1", -1, True, [], 10**30, "9" * 400, "٣", 1.5])
    def test_a_counter_that_is_none_costs_only_itself(self, chunk: object) -> None:
        assert decode(message("media", payload=FRAME_BASE64, chunk=chunk, timestamp="3")) == Media(FRAME, None, 3)

    def test_everything_but_the_payload_may_be_missing(self) -> None:
        assert decode(message("media", payload=FRAME_BASE64)) == Media(FRAME, None, None, "inbound")
        assert decode(message("media", payload=FRAME_BASE64, track=None)) == Media(FRAME)

    def test_an_empty_payload_is_audio_of_no_length(self) -> None:
        assert decode(message("media", payload="")) == Media(b"")

    @given(st.binary(max_size=500))
    def test_any_payload_survives_the_way_there(self, payload: bytes) -> None:
        encoded = base64.b64encode(payload).decode()
        assert decode(message("media", payload=encoded)) == Media(payload)
        assert decode(message("media", payload=encoded.rstrip("="), chunk="x")) == Media(payload)

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ({}, "missing_key"),
            ({"payload": None}, "null_payload"),
            ({"payload": 5}, "wrong_type"),
            ({"payload": ["AAAA"]}, "wrong_type"),
            ({"payload": "not base64!"}, "bad_base64"),
            ({"payload": "AAAAA"}, "bad_base64"),
            ({"payload": "AA==AA=="}, "bad_base64"),
            ({"payload": "ÄÖÜ="}, "bad_base64"),
        ],
    )
    def test_a_payload_that_is_none_is_named(self, body: dict[str, object], fault: str) -> None:
        assert decode(message("media", **body)) == Unreadable(fault)


class TestStart:
    def test_sids_as_in_the_outer_object_and_nothing_optional_are_enough(self) -> None:
        assert decode(message("start", callSid=CALL_SID, accountSid=ACCOUNT_SID)) == Start(
            stream_sid=STREAM_SID, call_sid=CALL_SID, account_sid=ACCOUNT_SID
        )

    @pytest.mark.parametrize("missing", ["callSid", "accountSid", "streamSid"])
    def test_without_one_of_its_sids_it_is_unreadable(self, missing: str) -> None:
        tree = json.loads(START)
        del tree["start"][missing]
        tree.pop(missing, None)
        assert decode(json.dumps(tree)) == Unreadable("missing_key")

    def test_another_media_format_is_told(self) -> None:
        tree = json.loads(START)
        tree["start"]["mediaFormat"] = {"encoding": "audio/l16", "sampleRate": "16000", "channels": 2}
        start = decode(json.dumps(tree))
        assert isinstance(start, Start)
        assert start.media_format == MediaFormat("audio/l16", 16_000, 2)

    @pytest.mark.parametrize("odd", [None, [], "x", 5])
    def test_a_media_format_or_parameters_of_another_type_count_as_missing(self, odd: object) -> None:
        tree = json.loads(START)
        tree["start"]["mediaFormat"] = tree["start"]["customParameters"] = odd
        start = decode(json.dumps(tree))
        assert isinstance(start, Start)
        assert start.media_format == MediaFormat()
        assert start.custom_parameters == {}

    def test_parameters_are_bounded_in_number_and_size_and_never_cut(self) -> None:
        tree = json.loads(START)
        tree["start"]["customParameters"] = {
            "large": "x" * 1000,
            "nested": {"a": 1},
            "number": 5,
            "just": "y" * 996,
        } | {f"p{n}": "v" for n in range(100)}
        start = decode(json.dumps(tree))
        assert isinstance(start, Start)
        assert len(start.custom_parameters) == 32
        assert start.custom_parameters["number"] == "5"
        assert start.custom_parameters["just"] == "y" * 996
        assert not {"large", "nested"} & start.custom_parameters.keys()

    def test_no_two_starts_share_their_parameters(self) -> None:
        plain = message("start", callSid=CALL_SID, accountSid=ACCOUNT_SID)
        first, second = decode(plain), decode(plain)
        assert isinstance(first, Start)
        assert isinstance(second, Start)
        first.custom_parameters["token"] = "x"
        assert second.custom_parameters == {}


class TestOtherEvents:
    @pytest.mark.parametrize("digit", list("0123456789*#ABCD"))
    def test_every_key_of_a_telephone_is_a_digit(self, digit: str) -> None:
        assert decode(message("dtmf", digit=digit)) == Dtmf(digit)

    def test_a_digit_may_be_a_number_or_a_small_letter(self) -> None:
        assert decode(message("dtmf", digit=5)) == Dtmf("5")
        assert decode(message("dtmf", digit="a")) == Dtmf("A")

    @pytest.mark.parametrize(
        ("digit", "fault"), [("", "bad_digit"), ("55", "bad_digit"), ("E", "bad_digit"), (None, "missing_key")]
    )
    def test_other_digits_are_not(self, digit: object, fault: str) -> None:
        assert decode(message("dtmf", digit=digit)) == Unreadable(fault)

    def test_a_mark_without_a_name_is_unreadable_and_a_long_name_is_cut(self) -> None:
        assert decode(message("mark")) == Unreadable("missing_key")
        assert decode(message("mark", name="x" * 5000)) == Mark("x" * 256)

    def test_a_stop_without_a_body_is_a_stop(self) -> None:
        assert decode('{"event":"stop"}') == Stop()
        assert decode('{"event":"stop","stop":null}') == Stop()


class TestUnreadable:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "not_json"),
            ("hello", "not_json"),
            ('{"event":"media"', "not_json"),
            ("[]", "not_an_object"),
            ("null", "not_an_object"),
            ("5", "not_an_object"),
            ("{}", "missing_key"),
            ('{"event":null}', "missing_key"),
            ('{"event":5}', "wrong_type"),
            ('{"event":"playback"}', "unknown_event"),
            ('{"event":"media"}', "missing_key"),
            ('{"event":"media","media":[]}', "wrong_type"),
            ('{"event":"start"}', "missing_key"),
            ('{"event":"\ud800"}', "invalid_utf8"),
            ("[" * 60_000, "too_deep"),
            ('{"event":"media","x":' + "[" * 30_000 + "]" * 30_000 + "}", "too_deep"),
            ('{"event":"new","new":' + '{"a":' * 10_000 + "1" + "}" * 10_001, "too_deep"),
            (message("media", payload="A" * 1_000_000), "oversize"),
            ("x" * 65_537, "oversize"),
        ],
        ids=lambda value: value[:24] if isinstance(value, str) else None,
    )
    def test_each_fault_has_its_name(self, text: str, fault: str) -> None:
        assert decode(text) == Unreadable(fault)

    @pytest.mark.parametrize("frame", [b"", b"\xff\xfe", FRAME, MEDIA.encode()])
    def test_a_binary_frame_is_a_fault_whatever_is_in_it(self, frame: bytes) -> None:
        assert decode(frame) == Unreadable("binary")

    def test_a_message_of_64_kib_is_still_read(self) -> None:
        padding = 65_536 - len(message("media", payload=""))
        assert decode(message("media", payload="A" * (padding // 4 * 4))) == Media(bytes(padding // 4 * 3))

    @settings(max_examples=120)
    @given(st.text() | st.binary())
    def test_no_text_and_no_bytes_make_it_raise(self, anything: str | bytes) -> None:
        assert isinstance(decode(anything), Unreadable)

    @settings(max_examples=120)
    @given(any_json)
    def test_no_json_makes_it_raise(self, tree: object) -> None:
        decode(json.dumps(tree))

    @settings(max_examples=120)
    @given(
        st.sampled_from(EVENTS),
        st.dictionaries(
            st.sampled_from(BODY_KEYS),
            any_json,
        )
        | any_json,
    )
    def test_no_values_under_known_keys_make_it_raise(self, event: str, body: object) -> None:
        decoded = decode(json.dumps({"event": event, event: body}))
        if isinstance(decoded, Media):
            assert isinstance(decoded.payload, bytes)
            assert decoded.chunk is None or decoded.chunk >= 0


@pytest.mark.parametrize(
    ("check", "prefix"),
    [(twilio.is_call_sid, "CA"), (twilio.is_stream_sid, "MZ"), (twilio.is_account_sid, "AC")],
)
def test_a_sid_is_its_prefix_and_32_lower_case_hexadecimal_digits(check: Any, prefix: str) -> None:
    digits = "0123456789abcdef" * 2
    assert check(prefix + digits)
    wrong_ones = ["", prefix, digits, "XX" + digits, prefix.lower() + digits, prefix + digits[:-1], prefix + digits + "0"]
    wrong_ones += [prefix + digits.upper(), prefix + digits[:-1] + "g", prefix + digits + "\n", " " + prefix + digits]
    assert not any(map(check, wrong_ones))
