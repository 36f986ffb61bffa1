"""Tokens that several processes can check and that no reader of their common store can make.

A token is `CallSid.stream_no.nonce.mac`. The store keeps the nonce, which is no secret; the MAC is made with a key that the
processes have and the store has not. So who reads the store can open no stream, a repeated webhook gets the same text
without the text being kept, and a forged token is refused without asking the store.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

NONCE_BYTES = 24  # 192 random bits; 128 are enough
PURPOSE = b"callbot stream token 1"  # the keys have other uses, too


@dataclass(frozen=True, slots=True)
class TokenParts:
    """What a token that was made here says of itself."""

    call_sid: str
    stream_no: int
    nonce: str = field(repr=False)


class StreamTokens:
    """Makes tokens with the first of `secret_texts`, checks with any: the list is the auth token's during a rotation."""

    def __init__(self, secret_texts: Sequence[str]) -> None:
        if not any(secret_texts):
            raise ValueError("tokens need a secret")
        self._keys = [hmac.digest(text.encode(), PURPOSE, hashlib.sha256) for text in secret_texts if text]

    def new_nonce(self) -> str:
        """A nonce that was never used."""
        return secrets.token_urlsafe(NONCE_BYTES)

    def text(self, call_sid: str, stream_no: int, nonce: str) -> str:
        """The token of this stream."""
        return f"{call_sid}.{stream_no}.{nonce}.{_mac(self._keys[0], call_sid, stream_no, nonce)}"

    def read(self, token: str) -> TokenParts | None:
        """What the token says, when it was made with one of the keys; else None."""
        call_sid, _, rest = token.partition(".")
        number_text, _, rest = rest.partition(".")
        nonce, _, mac = rest.partition(".")
        if not (mac and mac.isascii() and number_text.isascii() and number_text.isdecimal() and len(number_text) < 4):
            return None
        stream_no = int(number_text)
        right = [hmac.compare_digest(mac, _mac(key, call_sid, stream_no, nonce)) for key in self._keys]
        return TokenParts(call_sid, stream_no, nonce) if any(right) else None


def _mac(key: bytes, call_sid: str, stream_no: int, nonce: str) -> str:
    told = f"{call_sid}.{stream_no}.{nonce}".encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(hmac.digest(key, told, hashlib.sha256)).rstrip(b"=").decode()
