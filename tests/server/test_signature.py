"""Twilio's published vector, the library's own signatures, its traps, and ten thousand near misses."""

import base64
import hashlib
import random

import pytest
from pydantic import SecretStr
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from callbot.server.http.signatures import SignatureCheck, SignatureFault

TOKEN = "12345"
# Twilio, "Webhooks security": the example that its documentation computes.
VECTOR_URL = "https://example.com/myapp.php?foo=1&bar=2"
VECTOR_FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675310",
    "Digits": "1234",
    "From": "+14158675310",
    "To": "+18005551212",
}
VECTOR_SIGNATURE = "L/OH5YylLD5NRKLltdqwSvS0BnU="


def check(*origins: str, tokens: tuple[str, ...] = (TOKEN,), enabled: bool = True) -> SignatureCheck:
    return SignatureCheck(origins or ("https://example.com",), [SecretStr(token) for token in tokens], enabled=enabled)


def header(signature: str, name: bytes = b"x-twilio-signature") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"elsewhere.example"), (name, signature.encode())]


def sign(url: str, fields: dict[str, str] | MultiDict[str, str] | None = None, token: str = TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, fields or {}))


def test_twilios_published_vector_validates() -> None:
    fields = MultiDict(VECTOR_FIELDS)
    assert check().form(header(VECTOR_SIGNATURE), "/myapp.php", "foo=1&bar=2", fields) is None
    assert check().form(header(VECTOR_SIGNATURE, b"X-Twilio-Signature"), "/myapp.php", "foo=1&bar=2", fields) is None


def test_ten_thousand_mutations_of_a_signed_request_do_not_validate() -> None:
    signatures, pick = check(), random.Random(20)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    decoded = base64.b64decode(VECTOR_SIGNATURE)
    refused = 0
    for _ in range(10_000):
        signature, path, query, fields = VECTOR_SIGNATURE, "/myapp.php", "foo=1&bar=2", dict(VECTOR_FIELDS)
        name = pick.choice(sorted(fields))
        match pick.randrange(8):
            case 0:  # one bit of the signature
                at, bit = pick.randrange(20), 1 << pick.randrange(8)
                signature = base64.b64encode(decoded[:at] + bytes([decoded[at] ^ bit]) + decoded[at + 1 :]).decode()
            case 1:  # one character of it
                at = pick.randrange(27)
                other = pick.choice([letter for letter in alphabet if letter != signature[at]])
                signature = signature[:at] + other + signature[at + 1 :]
            case 2:  # a field's value
                fields[name] += pick.choice(alphabet)
            case 3:  # a field's name
                fields[name + pick.choice(alphabet)] = fields.pop(name) + "x"
            case 4:  # a field that is gone
                del fields[name]
            case 5:  # a field more
                fields["X" + pick.choice(alphabet)] = pick.choice(alphabet)
            case 6:
                path = path[: pick.randrange(1, len(path))]
            case 7:
                query = query[: pick.randrange(len(query))]
        refused += signatures.form(header(signature), path, query, MultiDict(fields)) is not None
    assert refused == 10_000


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ([], SignatureFault.MISSING),
        ([(b"x-twilio-signature", b"")], SignatureFault.MALFORMED),
        (header("not base64 of twenty bytes !"), SignatureFault.MALFORMED),
        (header(VECTOR_SIGNATURE + "="), SignatureFault.MALFORMED),
        (header(VECTOR_SIGNATURE[:-1]), SignatureFault.MALFORMED),
        ([(b"x-twilio-signature", b"\xff" * 28)], SignatureFault.MALFORMED),
        (header(VECTOR_SIGNATURE) * 2, SignatureFault.REPEATED),
        (header(f"{VECTOR_SIGNATURE},{VECTOR_SIGNATURE}"), SignatureFault.MALFORMED),
        (header("A" * 27 + "="), SignatureFault.WRONG),
    ],
)
def test_a_header_that_is_not_one_right_signature_is_refused(headers: list[tuple[bytes, bytes]], fault: SignatureFault) -> None:
    assert check().form(headers, "/myapp.php", "foo=1&bar=2", MultiDict(VECTOR_FIELDS)) is fault
    assert check().handshake(headers, "/ws/twilio", "") is fault


def test_blank_repeated_and_foreign_fields_are_signed() -> None:
    fields = MultiDict([("B", ""), ("A", "2"), ("A", "1"), ("A", "2"), ("City", "Köln +/&"), ("b", "x")])
    signature = sign("https://example.com/twiml", fields)
    assert check().form(header(signature), "/twiml", "", fields) is None
    assert (
        check().form(header(signature), "/twiml", "", MultiDict([*fields.items(multi=True), ("C", "")])) is SignatureFault.WRONG
    )


def test_get_signs_the_query_and_keeps_its_text() -> None:
    signature = sign("https://example.com/twilio/status?a=%7Eb&c=+d&e")
    assert check().get(header(signature), "/twilio/status", "a=%7Eb&c=+d&e") is None
    assert check().get(header(signature), "/twilio/status", "a=~b&c=+d&e") is SignatureFault.WRONG


def test_a_fragment_is_never_signed() -> None:
    assert check().get(header(sign("https://example.com/a?b=1")), "/a", "b=1#rc=2") is None
    assert check().get(header(sign("https://example.com/a")), "/a#rc=2", "") is None


def test_another_body_is_bound_by_its_hash() -> None:
    body = b'{"a":1}'
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = sign(f"https://example.com/twilio/status?{query}")
    assert check().body(header(signature), "/twilio/status", query, body) is None
    assert check().body(header(signature), "/twilio/status", query, body + b" ") is SignatureFault.WRONG
    without = sign("https://example.com/twilio/status?x=1")
    assert check().body(header(without), "/twilio/status", "x=1", body) is SignatureFault.UNSIGNED_BODY
    not_hex = sign("https://example.com/twilio/status?bodySHA256=%C3%A9")
    assert check().body(header(not_hex), "/twilio/status", "bodySHA256=%C3%A9", body) is SignatureFault.WRONG


@pytest.mark.parametrize(
    ("origin", "signed", "right"),
    [
        ("https://h.example", "https://h.example/twiml", True),
        ("https://h.example", "https://h.example:443/twiml", True),
        ("https://h.example:8443", "https://h.example/twiml", True),
        ("https://h.example:8443", "https://h.example:8443/twiml", True),
        ("https://h.example", "https://h.example:8443/twiml", False),
        ("https://h.example", "http://h.example/twiml", False),
        ("https://h.example", "https://H.example/twiml", False),
        ("https://h.example", "https://h.example/twiml/", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/twiml", True),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]/twiml", True),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/twiml", True),
    ],
)
def test_the_port_may_be_signed_or_not_and_nothing_else_may_differ(origin: str, signed: str, right: bool) -> None:
    fields = MultiDict({"A": "1"})
    assert (check(origin).form(header(sign(signed, fields)), "/twiml", "", fields) is None) is right


@pytest.mark.parametrize(
    ("signed", "right"),
    [
        ("wss://h.example/ws/twilio", True),
        ("wss://h.example/ws/twilio/", True),
        ("wss://h.example:443/ws/twilio", True),
        ("https://h.example/ws/twilio", False),
        ("wss://h.example:80/ws/twilio", False),
        ("wss://h.example/ws/twilio//", False),
        ("wss://h.example/ws", False),
    ],
)
def test_a_handshake_is_signed_over_its_wss_address_with_or_without_a_slash(signed: str, right: bool) -> None:
    assert (check("https://h.example").handshake(header(sign(signed)), "/ws/twilio", "") is None) is right


def test_what_every_handshake_signs_is_signed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()
    compute = RequestValidator.compute_signature

    def count(validator: RequestValidator, address: str, fields: object) -> str:
        made.append(address)
        return str(compute(validator, address, fields))

    signature = header(sign("wss://bot.example/ws/twilio"))
    monkeypatch.setattr(RequestValidator, "compute_signature", count)
    checked = check("https://bot.example")
    for _ in range(3):
        assert checked.handshake(signature, "/ws/twilio", "") is None
        assert checked.handshake(header("A" * 27 + "="), "/ws/twilio", "") is SignatureFault.WRONG
        assert checked.handshake(signature, "/ws/twilio", "a=b") is SignatureFault.WRONG
    assert len(made) == len(set(made)) == 8  # with a port and a slash and without, of two targets


def test_every_origin_and_every_token_of_the_list_counts() -> None:
    signatures = check("https://a.example", "https://b.example", tokens=("old", "new"))
    for origin in ("a", "b"):
        for token in ("old", "new"):
            assert signatures.get(header(sign(f"https://{origin}.example/x", token=token)), "/x", "") is None
    assert signatures.get(header(sign("https://c.example/x", token="old")), "/x", "") is SignatureFault.WRONG
    assert signatures.get(header(sign("https://a.example/x", token="older")), "/x", "") is SignatureFault.WRONG


def test_without_tokens_or_origins_nothing_passes() -> None:
    signature = sign("https://example.com/x", token="")
    assert check(tokens=()).get(header(signature), "/x", "") is SignatureFault.WRONG
    assert SignatureCheck([], [SecretStr(TOKEN)]).get(header(sign("/x")), "/x", "") is SignatureFault.WRONG


def test_switched_off_everything_passes() -> None:
    off = check(enabled=False)
    assert off.header([]) is None
    assert off.form([], "/x", "", MultiDict()) is None
    assert off.body([], "/x", "", b"{}") is None
    assert off.handshake([], "/x", "") is None


def test_lone_surrogates_are_wrong_and_no_fault() -> None:
    assert check().form(header(VECTOR_SIGNATURE), "/x", "", MultiDict({"A": "\ud800"})) is SignatureFault.WRONG
