"""Text of callers: cleaned, masked, compared exactly; and how much of it may come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.server.calls.callers import CallerLists, clean_text
from callbot.server.limits.buckets import CallerRate, TokenBucket
from callbot.wire.twilio.party import party

NUMBER = "+14158675310"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(st.text(max_size=400))
def test_cleaned_text_is_short_and_printable(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned) <= 128
    assert cleaned == cleaned.strip()
    assert all(character.isprintable() or character == " " for character in cleaned)
    assert clean_text(cleaned) == cleaned


def test_control_direction_and_line_characters_are_taken_out() -> None:
    assert clean_text("a\x00\x1b[31mb\r\nc\u2028d\u202ee\ufeff\ud800") == "a[31mb c de"


@pytest.mark.parametrize(
    ("allow", "deny", "caller", "reason"),
    [
        ((), (), NUMBER, None),
        ((), (), "", None),
        ((NUMBER,), (), NUMBER, None),
        ((NUMBER,), (), NUMBER + "0", "caller_not_allowed"),
        ((NUMBER,), (), NUMBER[:-1], "caller_not_allowed"),
        ((NUMBER,), (), NUMBER[1:], None),  # the same number, spelt without its plus
        ((NUMBER,), (), NUMBER[2:], "caller_not_allowed"),
        (("5310",), (), NUMBER, "caller_not_allowed"),
        (("+1415",), (), NUMBER, "caller_not_allowed"),
        (("+1415*",), (), NUMBER, None),
        (("+49*",), (), NUMBER, "caller_not_allowed"),
        (("*",), (), NUMBER, None),
        (("*",), (), "", "caller_not_allowed"),
        (("*", "anonymous"), (), "anonymous", "caller_not_allowed"),
        (("*",), (), "+266696687", "caller_not_allowed"),
        (("*5310",), (), NUMBER, "caller_not_allowed"),
        ((), (NUMBER,), NUMBER, "caller_denied"),
        ((), ("+1*",), NUMBER, "caller_denied"),
        ((), ("+1",), NUMBER, None),
        ((NUMBER,), ("+1415*",), NUMBER, "caller_denied"),
        ((), ("anonymous",), "anonymous", "caller_denied"),
        ((), ("anonymous",), "Restricted", "caller_denied"),
        ((), ("anonymous",), "+266696687", "caller_denied"),
        ((), ("anonymous",), "", "caller_denied"),
        ((), ("+266696687",), "sip:anonymous@anonymous.invalid", "caller_denied"),
        ((), ("anonymous",), NUMBER, None),
        ((), ("sip:alice@203.0.113.20",), "sip:alice@203.0.113.20:5060", "caller_denied"),
        ((), (NUMBER,), f"whatsapp:{NUMBER}", "caller_denied"),
        ((), (NUMBER,), f"sip:{NUMBER}@203.0.113.20", "caller_denied"),
        ((NUMBER,), (), f"sip:{NUMBER}@203.0.113.20", "caller_not_allowed"),  # whoever has a SIP server can say so
        (("client:*",), (), "client:alice", None),
    ],
)
def test_lists_compare_exactly_and_prefixes_only_with_a_star(
    allow: tuple[str, ...], deny: tuple[str, ...], caller: str, reason: str | None
) -> None:
    assert CallerLists(allow, deny).refusal(party(caller)) == reason


def test_a_bucket_lets_a_clump_through_and_a_flood_not() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_s=250, burst=1000, clock=clock)
    assert sum(bucket.take() for _ in range(1500)) == 1000
    clock.now_s += 1
    assert sum(bucket.take() for _ in range(1500)) == 250
    clock.now_s += 3600
    assert sum(bucket.take() for _ in range(1500)) == 1000


def test_a_healthy_stream_never_empties_the_bucket() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_s=250, burst=1000, clock=clock)
    for _ in range(50 * 60):
        clock.now_s += 0.02
        assert bucket.take()


def test_a_caller_has_so_many_calls_in_any_minute() -> None:
    clock = Clock()
    rate = CallerRate(2, clock)
    assert rate.admit(NUMBER, "CA1")
    assert rate.admit(NUMBER, "CA1")  # the same webhook again
    clock.now_s += 30
    assert rate.admit(NUMBER, "CA2")
    assert not rate.admit(NUMBER, "CA3")
    assert rate.admit("+4930", "CA4")
    clock.now_s += 30
    assert rate.admit(NUMBER, "CA3")
    assert not rate.admit(NUMBER, "CA5")


def test_callers_remembered_are_bounded() -> None:
    rate = CallerRate(1, Clock(), max_callers=10)
    for number in range(100):
        assert rate.admit(str(number), "CA")
    assert len(rate._recent) == 10
