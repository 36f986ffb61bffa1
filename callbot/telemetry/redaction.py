"""Takes out of texts what nobody should keep, and out of log lines what nobody should see.

Words of callers are personal: before a transcript is kept or logged, e-mail addresses, card numbers and long runs of
digits go. Secrets never reach a line: not under a telling key, and not inside any other value.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
# Digits as they are written or transcribed: with spaces, dots, dashes or slashes between.
_DIGITS: Final = re.compile(r"\d(?:[ .,\-/]{0,2}\d){3,}")
# An address or a year has fewer; account, telephone and card numbers have more.
_LONG_RUN: Final = 7
_CARD_LENGTHS: Final = range(12, 20)  # ISO/IEC 7812

_SECRET_KEYS: Final = re.compile(
    r"(?:^|_)(?:token|secret|password|key|authorization|handle|signature|cookie|credentials?)(?:$|_)", re.IGNORECASE
)
_LONGEST: Final = 2_000  # of one value; Cloud Logging cuts a line at 256 KiB
_MASKED: Final = "[secret]"


def redact(text: str) -> str:
    """`text` without e-mail addresses, card numbers (Luhn) and runs of seven digits and more."""
    return _DIGITS.sub(_mask_digits, _EMAIL.sub("[e-mail]", text))


def _mask_digits(match: re.Match[str]) -> str:
    digits = "".join(char for char in match[0] if char.isdigit())
    if len(digits) in _CARD_LENGTHS and is_luhn(digits):
        return "[card number]"
    return "[number]" if len(digits) >= _LONG_RUN else match[0]


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class LineGuard:
    """A structlog processor: masks secrets, strips control characters, caps long values."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def register(self, values: Iterable[str]) -> None:
        """Values that no line may show, wherever they turn up. Short ones would mask ordinary words."""
        self._secrets = sorted({*self._secrets, *(value for value in values if len(value) >= 6)}, key=len, reverse=True)

    def __call__(self, _logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        """The event with every value made fit to be seen."""
        return {key: self._clean(key, value) for key, value in event.items()}

    def clean_text(self, text: str) -> str:
        """One text without secrets, with control characters as spaces, cut."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _MASKED)
        if not text.isprintable():
            text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."

    def _clean(self, key: str, value: Any) -> Any:
        match value:
            case str() if _SECRET_KEYS.search(key):
                return _MASKED
            case str():
                # A traceback is worth its length; its lines stay lines.
                return value if key == "stack_trace" and not self._holds_secret(value) else self.clean_text(value)
            case bool() | int() | float() | None:
                return value
            case dict():
                return {self.clean_text(str(name)): self._clean(str(name), item) for name, item in value.items()}
            case list() | tuple():
                return [self._clean(key, item) for item in value]
            case bytes():
                return f"[{len(value)} bytes]"
            case _:
                return self.clean_text(str(value))

    def _holds_secret(self, text: str) -> bool:
        return any(secret in text for secret in self._secrets)
