"""Stream tokens that every process with the same secret can check, and that no reader of a shared store can make.

A token is `payload.mac`. The payload names the stream that the token opens and its expiry, and is no secret; the MAC is made
with a key that the processes have and the store has not. Nothing of the payload is read before the MAC over it is right.
"""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from callbot.store.protocol import StreamGrant

NONCE_BYTES = 16  # it tells tokens apart; the MAC is what cannot be guessed
MAX_LENGTH = 480  # Twilio: name and value of a <Parameter> have 500 characters together
PURPOSE = b"callbot stream token 2"  # the keys have other uses, too


@dataclass(frozen=True, slots=True)
class TokenParts:
    """What a token that was made here says. `expires_s` is Unix time."""

    grant: StreamGrant
    expires_s: float
    nonce: str = field(repr=False)


class StreamTokens:
    """Makes tokens with the first of `secret_texts` and checks with any: the list is the auth token's during a rotation.

    Without a secret the key is this process's own, and only this process can check what it makes.
    """

    def __init__(self, secret_texts: Sequence[str] = ()) -> None:
        texts = [text for text in secret_texts if text] or [secrets.token_hex(32)]
        self._keys = [hmac.digest(text.encode(), PURPOSE, hashlib.sha256) for text in texts]

    def new_nonce(self) -> str:
        """A nonce that was never used."""
        return secrets.token_urlsafe(NONCE_BYTES)

    def text(self, grant: StreamGrant, expires_s: float, nonce: str) -> str:
        """The token of this stream; the same for the same arguments, so it need not be kept."""
        told = [grant.call_sid, grant.account_sid, grant.stream_no, grant.caller, round(expires_s * 1000), nonce]
        payload = _base64(json.dumps(told, separators=(",", ":")).encode())
        return f"{payload}.{_mac(self._keys[0], payload)}"

    def read(self, token: str) -> TokenParts | None:
        """What the token says, when it was made with one of the keys; else None."""
        payload, _, mac = token.partition(".")
        if len(token) > MAX_LENGTH or not mac or not token.isascii():
            return None
        right = [hmac.compare_digest(mac, _mac(key, payload)) for key in self._keys]  # all of them, whichever it was
        if not any(right):
            return None
        call_sid, account_sid, stream_no, caller, expires_ms, nonce = json.loads(
            urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
        return TokenParts(StreamGrant(call_sid, account_sid, stream_no, caller), expires_ms / 1000, nonce)


def _mac(key: bytes, payload: str) -> str:
    return _base64(hmac.digest(key, payload.encode(), hashlib.sha256))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
