"""Is a request from Twilio? X-Twilio-Signature over HTTP requests and over the WebSocket handshake.

The signed address is made from the configured public origins and the raw path and query, never from a header
(CVE-2026-28465 is what comes of trusting those). `twilio.request_validator` computes the signatures; which addresses are
tried is decided here, because its `validate` takes port 80 for `wss`, mangles bracketed hosts and raises on a missing
header or on a body without its hash (facts of twilio 9.13.0).

Signed strings (Twilio, "Webhooks security"): a form's address and its fields sorted by name, blank ones too; for GET the
address with its query; for another body the address, whose query holds `bodySHA256`; for a handshake the `wss` address,
with and without a trailing slash. The signature has neither nonce nor time: it proves the account, not the call.
"""

import base64
import binascii
import functools
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

HEADER = b"x-twilio-signature"
SHA1_BYTES = 20
DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
KNOWN_HANDSHAKES = 8  # Twilio's, and some strangers' with a path or query of their own
SOCKET_SCHEMES = {"https": "wss", "http": "ws"}


class SignatureFault(StrEnum):
    """Why a request is not taken for Twilio's; the words are the reasons in logs."""

    MISSING = "signature_missing"
    REPEATED = "signature_repeated"
    MALFORMED = "signature_malformed"
    WRONG = "signature_wrong"
    UNSIGNED_BODY = "body_unsigned"


class SignatureCheck:
    """Checks requests against every public origin and every auth token (several during a rotation).

    Without a token or an origin nothing passes. `enabled=False` lets everything pass: for local work only.
    """

    def __init__(self, origins: Sequence[str], tokens: Sequence[SecretStr], *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._http = [address for origin in origins for address in _addresses(origin)]
        self._sockets = [address for origin in origins for address in _addresses(_socket_origin(origin))]
        self._validators = [RequestValidator(token.get_secret_value()) for token in tokens]
        # Every call's handshake has the same one, so it is made once: four at each were a twelfth of what a stranger cost.
        self._of_handshake = functools.lru_cache(KNOWN_HANDSHAKES)(self._handshake_signatures)

    def header(self, headers: Iterable[tuple[bytes, bytes]]) -> SignatureFault | None:
        """What is wrong with the header by itself, before a body is read."""
        return self._fault(headers)[0]

    def form(
        self, headers: Iterable[tuple[bytes, bytes]], path: str, query: str, fields: MultiDict[str, str]
    ) -> SignatureFault | None:
        """Check a form: `path` and `query` raw as they came, `fields` with blanks and repeats."""
        return self._check(headers, _with_target(self._http, path, query), fields)

    def get(self, headers: Iterable[tuple[bytes, bytes]], path: str, query: str) -> SignatureFault | None:
        """Check a request without a body."""
        return self._check(headers, _with_target(self._http, path, query), None)

    def body(self, headers: Iterable[tuple[bytes, bytes]], path: str, query: str, body: bytes) -> SignatureFault | None:
        """Check a body of any other kind: it must be the one whose SHA-256 the signed address names."""
        fault = self._check(headers, _with_target(self._http, path, query), None)
        if fault is not None or not self.enabled:
            return fault
        digest = body_digest(query)
        if not digest:
            return SignatureFault.UNSIGNED_BODY
        if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digest.lower().encode()):
            return SignatureFault.WRONG
        return None

    def handshake(self, headers: Iterable[tuple[bytes, bytes]], path: str, query: str) -> SignatureFault | None:
        """Check a WebSocket handshake: the address, or the address with a slash added."""
        fault, signature = self._fault(headers)
        if fault is not None or not self.enabled:
            return fault
        return _compare(signature, self._of_handshake(path, query))

    def _check(
        self, headers: Iterable[tuple[bytes, bytes]], addresses: list[str], fields: MultiDict[str, str] | None
    ) -> SignatureFault | None:
        fault, signature = self._fault(headers)
        if fault is not None or not self.enabled:
            return fault
        return _compare(signature, self._signatures(addresses, fields))

    def _signatures(self, addresses: list[str], fields: MultiDict[str, str] | None) -> list[bytes]:
        return [_signature(validator, address, fields) for validator in self._validators for address in addresses]

    def _handshake_signatures(self, path: str, query: str) -> list[bytes]:
        addresses = _with_target(self._sockets, path, query) + _with_target(self._sockets, path + "/", query)
        return self._signatures(addresses, None)

    def _fault(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[SignatureFault | None, bytes]:
        if not self.enabled:
            return None, b""
        values = [value for name, value in headers if name.lower() == HEADER]
        if not values:
            return SignatureFault.MISSING, b""
        if len(values) > 1:
            return SignatureFault.REPEATED, b""
        return (None, values[0]) if _looks_right(values[0]) else (SignatureFault.MALFORMED, b"")


def body_digest(query: str) -> str:
    """The `bodySHA256` that a query names; empty when it names none."""
    return parse_qs(query).get("bodySHA256", [""])[0]


def _signature(validator: RequestValidator, address: str, fields: MultiDict[str, str] | None) -> bytes:
    try:
        return str(validator.compute_signature(address, fields)).encode("ascii")
    except UnicodeEncodeError:  # lone surrogates: nothing that Twilio signs
        return b""


def _compare(signature: bytes, right: list[bytes]) -> SignatureFault | None:
    matches = False
    for one in right:  # no early end: how long it takes says nothing about which of them was near
        matches |= hmac.compare_digest(one, signature)
    return None if matches else SignatureFault.WRONG


def _looks_right(value: bytes) -> bool:
    """Base64 of a SHA-1: 28 characters, 20 bytes."""
    try:
        return len(value) == 28 and len(base64.b64decode(value, validate=True)) == SHA1_BYTES
    except binascii.Error:
        return False


def _socket_origin(origin: str) -> str:
    scheme, separator, rest = origin.partition("://")
    return SOCKET_SCHEMES.get(scheme, scheme) + separator + rest


def _addresses(origin: str) -> list[str]:
    """The origin with and without its port: Twilio drops it for voice over https and keeps it over http."""
    parts = urlsplit(origin)
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return [f"{parts.scheme}://{host}", f"{parts.scheme}://{host}:{port}"]


def _with_target(addresses: list[str], path: str, query: str) -> list[str]:
    target = f"{path}?{query}" if query else path
    target = target.partition("#")[0]  # a fragment carries Twilio's connection overrides and is never signed
    return [address + target for address in addresses]
