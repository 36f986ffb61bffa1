"""What both decoders share: JSON that may be anything, and values that may be of any type.

Nothing here raises on input. A value that is not what it should be comes back as None; the caller decides whether
that is a fault.
"""

from typing import Any, Final

import msgspec

LARGEST_COUNT: Final = 2**53
"""Counters beyond what every JSON implementation can carry exactly are not counters."""

_LONGEST_COUNT_DIGITS: Final = 16  # as many digits as LARGEST_COUNT has
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")
_read_anything: Final = msgspec.json.Decoder().decode


class Unreadable(msgspec.Struct, frozen=True):
    """A message that nothing could be made of.

    `fault` is a short stable kind in snake_case, one of a small set, fit for a log field or a counter's label:
    "binary", "oversize", "not_json", "invalid_utf8", "too_deep", "not_an_object", and those that the decoders name.
    """

    fault: str


def read_object(message: str | bytes) -> dict[str, Any] | Unreadable:
    """Give the JSON object that a message is, or say why it is none."""
    try:
        tree = _read_anything(message)
    except RecursionError:  # msgspec counts its own depth, so the interpreter's stack is never at risk
        return Unreadable("too_deep")
    except UnicodeError:
        return Unreadable("invalid_utf8")
    except msgspec.MsgspecError:
        return Unreadable("not_json")
    return tree if isinstance(tree, dict) else Unreadable("not_an_object")


def read_base64(text: str) -> bytes | None:
    """Give the bytes of base64 text in either alphabet, with its padding or without; None if it is not base64."""
    # The standard form is nearly always what comes, and needs no copy.
    standard = _decode_standard_base64(text)
    if standard is not None:
        return standard
    unpadded = text.translate(_FROM_URL_SAFE).rstrip("=")
    return _decode_standard_base64(unpadded + "=" * (-len(unpadded) % 4))


def _decode_standard_base64(text: str) -> bytes | None:
    try:
        return msgspec.convert(text, bytes)  # more than twice as fast as binascii
    except (msgspec.MsgspecError, UnicodeError):
        return None


def read_count(value: object) -> int | None:
    """Give a counter, number or string of digits (protobuf's JSON writes int64 so); None for anything else."""
    if isinstance(value, str):
        is_plain = value.isascii() and value.isdigit() and len(value) <= _LONGEST_COUNT_DIGITS
        try:
            # Other notations ("1e3") as the decoders' fast paths read them.
            value = int(value) if is_plain else msgspec.convert(value, int, strict=False)
        except (msgspec.MsgspecError, UnicodeError):
            return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= LARGEST_COUNT else None
