"""Who may call, and text that comes from outside, cleaned before it is used."""

import unicodedata
from collections.abc import Iterable

from callbot.wire.twilio.party import Party, party

TEXT_LIMIT = 128  # longer than any number, name or error text that matters


def clean_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` without control, format, surrogate and private characters, blanks collapsed, at most `limit` characters."""
    kept = (" " if character.isspace() else character for character in text[: limit * 4] if _printable(character))
    return " ".join("".join(kept).split())[:limit]


class CallerLists:
    """Who may call. An entry is one caller, in any spelling; only one that ends in `*` stands for all that begin like it, and
    a word for withheld numbers, such as `anonymous`, for all of those.

    Denied is who can be meant: a denied number is denied as a SIP user and in WhatsApp, too. Allowed is who is meant exactly,
    and nobody whose number is withheld. Suffix matching and an empty caller that passed are what GHSA-4rj2-gpmh-qq5x was about.
    """

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)

    def refusal(self, caller: Party) -> str | None:
        """The reason to refuse `caller`, or None."""
        if any(caller.is_named_by(entry) or caller.is_same_person(party(entry)) for entry in self._deny):
            return "caller_denied"
        if self._allow and (caller.is_withheld or not any(caller.is_named_by(entry) for entry in self._allow)):
            return "caller_not_allowed"
        return None


def _printable(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] != "C"
