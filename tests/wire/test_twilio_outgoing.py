"""What goes to Twilio: exactly three shapes, no key more or less."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio_recordings import FRAME, STREAM_SID

from callbot.wire.twilio import (
    Mark,
    Media,
    TwilioEncoder,
    clear_message,
    decode,
    mark_message,
    mark_name,
    media_message,
    parse_mark,
)


def test_media_has_exactly_twilios_keys() -> None:
    expected = {
        "event": "media",
        "streamSid": STREAM_SID,
        "media": {"payload": base64.b64encode(FRAME).decode()},
    }
    assert json.loads(media_message(STREAM_SID, FRAME)) == expected


def test_mark_has_exactly_twilios_keys() -> None:
    expected = {"event": "mark", "streamSid": STREAM_SID, "mark": {"name": "t1-2"}}
    assert json.loads(mark_message(STREAM_SID, "t1-2")) == expected


def test_clear_has_exactly_twilios_keys() -> None:
    assert json.loads(clear_message(STREAM_SID)) == {"event": "clear", "streamSid": STREAM_SID}


def test_an_encoder_makes_the_same_messages_again_and_again() -> None:
    encoder = TwilioEncoder(STREAM_SID)
    for _ in range(2):
        assert encoder.media(FRAME) == media_message(STREAM_SID, FRAME)
        assert encoder.mark("bye") == mark_message(STREAM_SID, "bye")
        assert encoder.clear() == clear_message(STREAM_SID)


@given(payload=st.binary(min_size=1, max_size=2000), name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50))
def test_what_is_sent_can_be_read_back(payload: bytes, name: str) -> None:
    encoder = TwilioEncoder(STREAM_SID)
    assert decode(encoder.media(payload)) == Media(payload)
    assert decode(encoder.mark(name)) == Mark(name)


@given(stream_sid=st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_stream_sid_can_break_out_of_its_string(stream_sid: str) -> None:
    encoder = TwilioEncoder(stream_sid)
    for message in (encoder.media(b"\xff"), encoder.mark("m"), encoder.clear()):
        assert json.loads(message)["streamSid"] == stream_sid


def test_what_twilio_would_refuse_is_refused_here() -> None:
    with pytest.raises(ValueError, match="take it from Twilio's start message"):
        TwilioEncoder("")
    with pytest.raises(ValueError, match="leave the message out"):
        media_message(STREAM_SID, b"")
    with pytest.raises(ValueError, match="a mark needs a name"):
        mark_message(STREAM_SID, "")


@given(turn=st.integers(0, 999_999_999), index=st.integers(0, 999_999_999))
def test_a_mark_name_gives_back_its_turn_and_index(turn: int, index: int) -> None:
    assert parse_mark(mark_name(turn, index)) == (turn, index)


@pytest.mark.parametrize(("turn", "index"), [(-1, 0), (0, -1), (10**9, 0), (0, 10**9)])
def test_a_mark_name_out_of_range_is_refused(turn: int, index: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 999,999,999"):
        mark_name(turn, index)


@pytest.mark.parametrize(
    "name", ["", "bye", "t1", "t1-", "t-1", "t1-2-3", "t1-2\n", " t1-2", "t٣-2", "T1-2", "t1-" + "9" * 500]
)
def test_any_other_name_is_not_one_of_ours(name: str) -> None:
    assert parse_mark(name) is None


@given(name=st.text())
def test_no_name_makes_parsing_raise(name: str) -> None:
    parse_mark(name)
