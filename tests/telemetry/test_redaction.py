import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.telemetry.redaction import is_luhn, redact

separators = st.sampled_from(["", " ", "-", ".", ", "])


def with_check_digit(digits: str) -> str:
    return next(digits + last for last in string.digits if is_luhn(digits + last))


@st.composite
def spoken(draw: st.DrawFn, digits: str) -> str:
    """The digits as somebody may write them."""
    return "".join(digit + (draw(separators) if place < len(digits) - 1 else "") for place, digit in enumerate(digits))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("my card is 4111 1111 1111 1111 thanks", "my card is [card number] thanks"),
        ("4111-1111-1111-1112", "[number]"),
        ("call +1 (415) 555-0123 please", None),
        ("write to jane.doe+x@mail.example.org.", "write to [e-mail]."),
        ("flat 12, 4th floor, since 1999", "flat 12, 4th floor, since 1999"),
        ("it costs 3.50", "it costs 3.50"),
    ],
)
def test_what_identifies_or_pays_goes_and_the_rest_stays(said: str, kept: str | None) -> None:
    redacted = redact(said)

    if kept is not None:
        assert redacted == kept
    assert "0123" not in redacted


@pytest.mark.parametrize(("digits", "valid"), [("79927398713", True), ("79927398710", False), ("4111111111111111", True)])
def test_the_check_digit_is_luhns(digits: str, valid: bool) -> None:
    assert is_luhn(digits) is valid


@given(body=st.text(string.digits, min_size=12, max_size=18), before=st.text(string.ascii_letters + " "), draw=st.data())
def test_no_card_number_survives_however_it_is_grouped(body: str, before: str, draw: st.DataObject) -> None:
    card = with_check_digit(body)
    written = draw.draw(spoken(card))

    assert redact(f"{before} {written} thanks") == f"{before} [card number] thanks"


@given(st.text(string.digits + " -.,()/ab@+"))
def test_no_run_of_seven_digits_survives_and_a_second_pass_changes_nothing(text: str) -> None:
    redacted = redact(text)

    assert re.search(r"\d([ .,\-/()]{0,2}\d){6}", redacted) is None
    assert redact(redacted) == redacted


@given(st.from_regex(r"[a-z0-9._+-]{1,30}@[a-z0-9-]{1,20}(\.[a-z]{2,6}){1,2}", fullmatch=True))
def test_no_address_survives(address: str) -> None:
    assert address not in redact(f"it is {address} you know")


@given(st.text())
def test_texts_of_any_script_pass(text: str) -> None:
    redact(text)


def test_digits_of_other_scripts_are_digits() -> None:
    assert redact("رقمي ٤١٥٥٥٥٠١٢٣") == "رقمي [number]"
