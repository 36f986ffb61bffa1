"""Takes out of texts what nobody should keep, and out of log lines what nobody should see.

Words of callers are personal: before a transcript is kept or logged, e-mail addresses, card numbers and long runs of
digits go. Secrets never reach a line: not under a telling name, not inside any other value, and not as a URL spells them.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus

# A match begins where an address can: without that, a long word would be tried from each of its letters.
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
# Digits as they are written or transcribed: with spaces, dots, dashes, slashes or brackets between.
_DIGITS: Final = re.compile(r"\d(?:[ .,\-/()]{0,2}\d){3,}")
# An address or a year has fewer; account, telephone and card numbers have more.
_LONG_RUN: Final = 7
_CARD_LENGTHS: Final = range(12, 20)  # ISO/IEC 7812

# Words of a field's name that say that its text is a secret; whole words, so that `tokens` and `keyboard` are none.
_SECRET_WORDS: Final = frozenset(
    {
        "token",
        "secret",
        "password",
        "key",
        "apikey",
        "authorization",
        "handle",
        "signature",
        "cookie",
        "credential",
        "credentials",
    }
)
_NAME_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# user:password@ of a URL; a secret in a query; an Authorization header; the shapes of Google's API keys and access tokens.
_CREDENTIALS: Final = re.compile(
    r"(?P<kept>://(?=[^/@\s]*:[^/@\s]*@)|[?&](?:key|api_key|token|access_token|signature)=|\b(?:Bearer|Basic)\s+(?=\S{8}))"
    r"[^\s@&\"']+|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z._-]{8,}",
    re.IGNORECASE,
)
# Whole telephone numbers (E.164), whoever wrote them: an error text of a library may have one. Four digits tell two apart.
_NUMBER: Final = re.compile(r"\+[1-9]\d{3,10}(\d{4})(?!\d)")
_SHORTEST_SECRET: Final = 6  # shorter values occur in ordinary words: hiding them would blank the log
_SHORT: Final = 64  # characters: sids, states and reasons, which come again on every line of a call
_LONGEST: Final = 2_000  # of one value; Cloud Logging cuts a line at 256 KiB
_LONGEST_TRACE: Final = 16_000
_DEEPEST: Final = 6  # of nested values; orjson refuses 255, and what we log is flat
_MOST_ITEMS: Final = 50
_MASKED: Final = "[secret]"


def redact(text: str) -> str:
    """`text` without e-mail addresses, card numbers (Luhn) and runs of seven digits and more."""
    return _DIGITS.sub(_mask_digits, _EMAIL.sub("[e-mail]", text))


def _mask_digits(match: re.Match[str]) -> str:
    # Decimals of any script: a transcript may have the caller's own. A digit such as a superscript is none for int().
    digits = "".join(char for char in match[0] if char.isdecimal())
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


@lru_cache(maxsize=1024)  # the names of fields are few, and each line asks about all of its own
def is_secret_name(name: str) -> bool:
    """Whether the text of a field of this name is a secret: `api_key`, `X-Twilio-Signature`, `authToken`, `handle`."""
    return any(word.lower() in _SECRET_WORDS for word in _NAME_WORDS.findall(name))


class LineGuard:
    """A structlog processor: masks secrets and telephone numbers, strips control characters, caps long values, and lets
    nothing through that the JSON encoder refuses: a line that cannot be written must not end a call.
    """

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._clean_short = lru_cache(maxsize=1024)(self._clean_whole)

    def register(self, values: Iterable[str]) -> None:
        """Values that no line may show, wherever they turn up, also as a URL spells them. Under six characters: ignored."""
        for value in values:
            if len(value) >= _SHORTEST_SECRET:
                self._secrets |= {value, quote(value, safe=""), quote_plus(value)}
        longest_first = sorted(self._secrets, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._clean_short.cache_clear()

    def __call__(self, _logger: Any, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with every value made fit to be seen."""
        return {self.clean_text(name): self._clean(name, value, _DEEPEST) for name, value in event.items()}

    def clean_text(self, text: str) -> str:
        """One text without secrets, with control characters as spaces, cut."""
        clean = self._clean_short(text) if len(text) <= _SHORT else self._clean_whole(text)
        return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + "..."

    def _clean_whole(self, text: str) -> str:
        text = _CREDENTIALS.sub(_mask_credential, self._mask_secrets(text))
        if "+" in text:
            text = _NUMBER.sub(r"***\1", text)
        if not text.isprintable():
            # Taking out what stood between its parts may join a secret: hence once more.
            text = self._mask_secrets("".join(char if char.isprintable() else " " for char in text))
        return text

    def _mask_secrets(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(_MASKED, text)

    def _clean_trace(self, text: str) -> str:
        """A traceback: its lines stay lines, and of a long one the middle goes, because its end tells most."""
        clean = "\n".join(map(self._clean_whole, self._mask_secrets(text).split("\n")))
        half = _LONGEST_TRACE // 2
        return clean if len(clean) <= _LONGEST_TRACE else f"{clean[:half]}\n...\n{clean[-half:]}"

    def _clean(self, name: str, value: Any, depth: int) -> Any:
        match value:
            case bool() | float() | None:
                return value
            case int():
                return value if -(2**63) <= value < 2**63 else str(value)  # JSON integers have 64 bits here
            case str() | bytes() | dict() if value and is_secret_name(name):
                return _MASKED
            case str():
                return self._clean_trace(value) if name == "stack_trace" else self.clean_text(value)
            case bytes() | bytearray() | memoryview():
                return f"[{len(value)} bytes]"  # audio, or no text at all
            case dict() | list() | tuple() | set() | frozenset() if depth == 0:
                return f"[{type(value).__name__}]"
            case dict():
                items = list(value.items())[:_MOST_ITEMS]
                return {self.clean_text(str(key)): self._clean(str(key), item, depth - 1) for key, item in items}
            case list() | tuple() | set() | frozenset():
                return [self._clean(name, item, depth - 1) for item in list(value)[:_MOST_ITEMS]]
            case _:
                return self.clean_text(str(value))


def _mask_credential(match: re.Match[str]) -> str:
    return (match["kept"] or "") + _MASKED
