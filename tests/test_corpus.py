"""What the fuzzer found worth keeping, once more: every input is decoded or answered as `fuzz/` demands.

And, by name, what it has found to be wrong.
"""

from pathlib import Path

import pytest

from callbot.wire import gemini, twilio
from callbot.wire.reading import read_count
from fuzz import campaign, fuzz_webhook, fuzz_wire

CHECKS = {"wire": fuzz_wire.check, "webhook": fuzz_webhook.check}
FILES = {name: sorted((campaign.CORPUS / name).iterdir()) for name in CHECKS}


@pytest.mark.parametrize("name", CHECKS)
def test_every_input_of_the_corpus_is_taken_as_it_should_be(name: str) -> None:
    outcomes = {CHECKS[name](file.read_bytes()) for file in FILES[name]}
    assert len(outcomes) >= 8, outcomes  # messages and refusals of many kinds, or the corpus is no corpus


@pytest.mark.parametrize("name", CHECKS)
def test_the_seeds_are_messages_and_requests_as_they_come(name: str) -> None:
    seeds = {"wire": fuzz_wire.seeds, "webhook": fuzz_webhook.seeds}[name]()
    outcomes = [CHECKS[name](seed) for seed in seeds]
    assert not [outcome for outcome in outcomes if "Unreadable" in outcome or "500" in outcome]


def test_the_corpus_is_small() -> None:
    files: list[Path] = [file for names in FILES.values() for file in names]
    assert 50 < len(files) < 300
    assert sum(file.stat().st_size for file in files) < 500_000


@pytest.mark.parametrize("forged", [fuzz_webhook.UNSIGNED, fuzz_webhook.FORGED, fuzz_webhook.TWICE])
@pytest.mark.parametrize("path", range(3))
def test_the_judge_of_the_webhook_sees_strangers_refused(path: int, forged: int) -> None:
    assert fuzz_webhook.check(bytes([path, 0, 0, forged, 0]) + b"CallSid=x").endswith("403")


def test_a_message_that_names_no_event_is_no_media() -> None:
    """The fast path took it for one: a single msgspec struct's tag may be missing."""
    nameless = '{"media":{"track":"inbound","chunk":"1","timestamp":"102","payload":"////"}}'
    assert twilio.decode(nameless) == twilio.Unreadable("missing_key")


def test_both_paths_read_counters_alike() -> None:
    """The fast path read "1e3" as 1000, the tolerant one as nothing."""
    body = '"track":"inbound","timestamp":"1e3","payload":"////"'
    fast = twilio.decode(f'{{"event":"media","media":{{{body}}}}}')
    tolerant = twilio.decode(f'{{"event":"media","media":{{{body},"chunk":null,"chunk":"x"}}}}')
    assert isinstance(fast, twilio.Media)
    assert isinstance(tolerant, twilio.Media)
    assert fast.timestamp_ms == tolerant.timestamp_ms == 1000


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "9" * 5000, "\ud800", "٣", "1e400"])
def test_what_is_no_counter_is_none(text: str) -> None:
    assert read_count(text) is None


@pytest.mark.parametrize("rate", ["0000", "00120", "0", "1234567"])
def test_a_rate_that_is_none_never_reaches_the_resampler(rate: str) -> None:
    """0 Hz and 120 Hz came through as they were written."""
    blob = f'{{"inlineData":{{"mimeType":"audio/pcm;rate={rate}","data":"AAAA"}}}}'
    message = gemini.decode(f'{{"serverContent":{{"modelTurn":{{"parts":[{blob}]}}}}}}')
    assert isinstance(message, gemini.ModelMessage)
    assert [part.rate_hz for part in message.audio] == [24_000]
    assert message.faults == ("bad_rate",)
