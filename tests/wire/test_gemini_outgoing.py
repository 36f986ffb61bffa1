"""What we refuse to send to the model. What we do send is held against the SDK in test_gemini_sdk_contract."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.wire.gemini import audio_message, text_message, tool_response_message


@given(st.binary(min_size=1, max_size=400).map(lambda half: half * 2))
def test_any_audio_can_be_read_back_from_its_message(pcm: bytes) -> None:
    audio = json.loads(audio_message(pcm))["realtime_input"]["audio"]
    assert base64.urlsafe_b64decode(audio["data"]) == pcm
    assert audio["mime_type"] == "audio/pcm;rate=16000"


@pytest.mark.parametrize("pcm", [b"", b"\0", bytes(641)])
def test_audio_that_is_empty_or_ends_in_half_a_sample_is_refused(pcm: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(pcm)} bytes; send whole 16-bit samples"):
        audio_message(pcm)


def test_a_text_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leave the message out"):
        text_message("")


def test_an_answer_to_no_tool_call_is_refused() -> None:
    with pytest.raises(ValueError, match="no tool result"):
        tool_response_message([])
