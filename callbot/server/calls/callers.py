"""Text that comes from a caller: cleaned before it is used, masked before it is logged, compared with the lists.

`From` is an E.164 number, a word such as `anonymous`, a client address or anything else (Twilio, "TwiML voice request").
"""

import unicodedata
from collections.abc import Iterable

TEXT_LIMIT = 128  # longer than any number, name or error text that matters
# What Twilio puts for a number that is withheld: words, and the same words typed on a keypad.
WITHHELD_WORDS = frozenset({"anonymous", "unknown", "restricted", "blocked", "unavailable", "private", "withheld"})
WITHHELD_NUMBERS = frozenset({"+266696687", "+8656696", "+7378742833", "+2562533", "+86282452253"})


def clean_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` without control, format, surrogate and private characters, blanks collapsed, at most `limit` characters."""
    kept = (" " if character.isspace() else character for character in text[: limit * 4] if _printable(character))
    return " ".join("".join(kept).split())[:limit]


def mask(caller: str) -> str:
    """Enough of a caller to tell two apart: the last four digits of a whole number, two of a short one, words withheld."""
    caller = clean_text(caller)
    if not caller or caller.lower() in WITHHELD_WORDS:
        return caller.lower()
    digits = [character for character in caller if character in "0123456789"]
    if len(digits) >= 8:
        return "***" + "".join(digits[-4:])
    if len(digits) >= 5:
        return "***" + "".join(digits[-2:])
    return "***"


def is_withheld(caller: str) -> bool:
    """Whether `From` names nobody."""
    return not caller or caller.lower() in WITHHELD_WORDS or caller in WITHHELD_NUMBERS


class CallerLists:
    """Who may call. An entry is one caller, exactly; only one that ends in `*` stands for all that begin like it.

    Suffix matching and an empty caller that passed are what GHSA-4rj2-gpmh-qq5x was about.
    """

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)

    def refusal(self, caller: str) -> str | None:
        """The reason to refuse `caller`, or None."""
        if any(_matches(entry, caller) for entry in self._deny):
            return "caller_denied"
        if self._allow and (is_withheld(caller) or not any(_matches(entry, caller) for entry in self._allow)):
            return "caller_not_allowed"
        return None


def _matches(entry: str, caller: str) -> bool:
    return caller.startswith(entry[:-1]) if entry.endswith("*") else caller == entry


def _printable(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] != "C"
