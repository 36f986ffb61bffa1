"""Records are sealed before they leave the process: who reads the shared store sees no word, number or handle.

A sealed record is a version byte, a nonce of 12 bytes, and the record in AES-256-GCM (RFC 5116) with the CallSid as associated
data. Each call has a key of its own, made from the secret with HKDF (RFC 5869): a random nonce is safe for 2^32 records under
one key (NIST SP 800-38D, 8.3), which one call never writes and all calls of a fleet would.

Loading the cryptography library takes some 50 ms: this module is imported behind the scenes, once the server answers.
"""

import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = b"\x01"
NONCE_BYTES: Final = 12
PURPOSE: Final = b"callbot call record 1"  # the secrets have other uses, too


class SealError(Exception):
    """These bytes were not sealed for this call with one of the keys, or were changed since."""


class Sealer:
    """Seals with the first of `secret_texts` and opens with any: the list is the secret's during a rotation."""

    def __init__(self, secret_texts: Sequence[str]) -> None:
        self._secrets = [text.encode() for text in secret_texts if text]
        if not self._secrets:
            raise ValueError("sealing needs a secret")

    def seal(self, call_sid: str, record: bytes) -> bytes:
        """The record as it may leave the process: 29 bytes longer."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + nonce + _cipher(self._secrets[0], call_sid).encrypt(nonce, record, VERSION + call_sid.encode())

    def open(self, call_sid: str, sealed: bytes) -> bytes:
        """The record of `seal`. Raises `SealError` for everything else."""
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] == VERSION and len(nonce) == NONCE_BYTES:
            for secret in self._secrets:
                try:
                    return _cipher(secret, call_sid).decrypt(nonce, rest, VERSION + call_sid.encode())
                except InvalidTag:
                    continue
        raise SealError


def _cipher(secret: bytes, call_sid: str) -> AESGCM:
    key = HKDF(algorithm=SHA256(), length=32, salt=PURPOSE, info=call_sid.encode()).derive(secret)
    return AESGCM(key)
