"""Signatures, held against Twilio's public vector and Twilio's own validator."""

import pytest
from twilio.request_validator import RequestValidator

from callbot.simulators.twilio.signing import signature, signed_url

VECTOR = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675310"),
    ("Digits", "1234"),
    ("From", "+14158675310"),
    ("To", "+18005551212"),
]


def test_the_public_vector_is_reproduced() -> None:
    url = "https://example.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, VECTOR) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("https://bot.example/twiml", [("FromCity", "SÃO JOSÉ"), ("CallerName", ""), ("From", "+1")]),
        ("https://bot.example/next?call=CA1&n=2", [("b", "2"), ("B", "1"), ("a", "")]),
        ("https://bot.example/next?call=CA1", []),
        ("wss://bot.example/ws/twilio", []),
    ],
)
def test_twilios_validator_accepts_what_is_signed_here(url: str, fields: list[tuple[str, str]]) -> None:
    made = signature("token", url, fields)
    assert RequestValidator("token").validate(url, dict(fields), made)
    assert not RequestValidator("other").validate(url, dict(fields), made)
    assert not RequestValidator("token").validate(url + "x", dict(fields), made)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://user:pw@bot.example:8443/a?b=c#rc=2", "https://bot.example/a?b=c"),
        ("wss://bot.example:443/ws", "wss://bot.example/ws"),
        ("http://bot.example:8080/a", "http://bot.example:8080/a"),
        ("https://[::1]:8443/a", "https://[::1]/a"),
        ("https://BOT.example/a/", "https://BOT.example/a/"),
    ],
)
def test_credentials_fragment_and_the_port_of_https_are_not_signed(url: str, signed: str) -> None:
    assert signed_url(url) == signed
