"""Takes out of texts what nobody should keep, and out of log lines what nobody should see.

Words of callers are personal: before a transcript is kept or logged, e-mail addresses, card numbers and long runs of
digits go. Secrets never reach a line: not under a telling name, not inside any other value, and not as a URL spells them.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
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

# A secret in a query; an Authorization header; the shapes of Google's API keys and access tokens. user:password@ of a URL is
# `_mask_userinfo`'s.
_CREDENTIALS: Final = re.compile(
    r"(?P<kept>[?&](?:key|api_key|token|access_token|signature)=|\b(?:Bearer|Basic)\s+(?=\S{8}))"
    r"[^\s@&\"']+|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z._-]{8,}",
    re.IGNORECASE,
)
_RUN: Final = re.compile(r"\S+")
# Whole telephone numbers (E.164), whoever wrote them: an error text of a library may have one. Four digits tell two apart.
_NUMBER: Final = re.compile(r"\+[1-9]\d{3,10}(\d{4})(?!\d)")
_SHORTEST_SECRET: Final = 6  # shorter values occur in ordinary words: hiding them would blank the log
_SHORT: Final = 64  # characters: sids, states and reasons, which come again on every line of a call
_LONGEST: Final = 2_000  # of one value; Cloud Logging cuts a line at 256 KiB
_LONGEST_TRACE: Final = 16_000
_LONGEST_LINE: Final = 48_000  # of a line's values together, the trace and the names of fields included
_MARGIN: Final = 1_000  # looked at beyond the cut: a secret that the cut goes through is still whole here
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
        line: dict[str, Any] = {}
        left = _LONGEST_LINE
        for name, value in event.items():
            if left <= 0:
                line["cut"] = True
                break
            clean, size = self._clean(name, value, _DEEPEST, left)
            shown = self.clean_text(name)
            line[shown] = clean
            left -= size + len(shown)
        return line

    def clean_text(self, text: str) -> str:
        """One text without secrets, with control characters as spaces, cut."""
        if len(text) <= _SHORT:
            return self._clean_short(text)
        clean = self._clean_whole(text[: _LONGEST + _MARGIN])
        return clean if len(text) <= _LONGEST and len(clean) <= _LONGEST else clean[:_LONGEST] + "..."

    def _clean_whole(self, text: str) -> str:
        text = self._mask_secrets(text)
        if "://" in text and "@" in text:
            text = _RUN.sub(_mask_userinfo, text)
        text = _CREDENTIALS.sub(_mask_credential, text)
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
        half = _LONGEST_TRACE // 2
        parts = (text,) if len(text) <= _LONGEST_TRACE else (text[: half + _MARGIN], text[-half - _MARGIN :])
        clean = ["\n".join(map(self._clean_whole, self._mask_secrets(part).split("\n"))) for part in parts]
        if len(clean) == 1 and len(clean[0]) <= _LONGEST_TRACE:
            return clean[0]
        return f"{clean[0][:half]}\n...\n{clean[-1][-half:]}"

    def _clean(self, name: str, value: Any, depth: int, left: int) -> tuple[Any, int]:
        """The value made fit to be seen, and how many characters it has; of a list or dict only what `left` has room for."""
        match value:
            case bool() | float() | None:
                return value, 8
            case int():
                if -(2**63) <= value < 2**63:  # JSON integers have 64 bits here
                    return value, 8
                # Beyond some thousand digits str() refuses.
                return (str(value) if value.bit_length() <= 512 else f"[{value.bit_length()} bits]"), 155
            case str() | bytes() | dict() if value and is_secret_name(name):
                return _MASKED, len(_MASKED)
            case str():
                clean = self._clean_trace(value) if name == "stack_trace" else self.clean_text(value)
                return clean, len(clean)
            case bytes() | bytearray() | memoryview():
                return f"[{len(value)} bytes]", 16  # audio, or no text at all
            case dict() | list() | tuple() | set() | frozenset() if depth == 0:
                return f"[{type(value).__name__}]", 16
            case dict():
                kept: dict[str, Any] = {}
                used = 0
                for key, item in islice(value.items(), _MOST_ITEMS):
                    if used >= left:
                        break
                    shown = self.clean_text(str(key))
                    kept[shown], size = self._clean(str(key), item, depth - 1, left - used)
                    used += size + len(shown)
                return kept, used
            case list() | tuple() | set() | frozenset():
                items: list[Any] = []
                used = 0
                for item in islice(value, _MOST_ITEMS):
                    if used >= left:
                        break
                    clean_item, size = self._clean(name, item, depth - 1, left - used)
                    items.append(clean_item)
                    used += size
                return items, used
            case _:
                clean = self.clean_text(str(value))
                return clean, len(clean)


def _mask_userinfo(match: re.Match[str]) -> str:
    """`user:password@` of a URL, in text without spaces. A password may have a slash or an at sign in it, so it is taken to
    end at the last one. Looks at each character a fixed number of times.
    """
    run = match[0]
    begin, end = run.find("://") + 3, run.rfind("@")
    if begin < 3 or ":" not in run[begin : max(begin, end)]:
        return run
    return f"{run[:begin]}{_MASKED}{run[end:]}"


def _mask_credential(match: re.Match[str]) -> str:
    return (match["kept"] or "") + _MASKED
