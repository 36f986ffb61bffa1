"""Who is at an end of a call: one value, made once from what Twilio's request says in `From` or `To`.

`From` is an E.164 number, a SIP address, a client's or a WhatsApp address, or a word in place of a number that is withheld
(Twilio, "TwiML voice request"). The same caller is spelt in many ways: with and without `+`, with a SIP port, in capitals, or,
where a number is withheld, as the word's digits on a keypad. Lists, rates, masks and caller ids all ask this value.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

LONGEST_ADDRESS: Final = 128
"""Characters; longer than any number or name that matters. What is longer is cut."""

_WITHHELD_WORDS: Final = frozenset(
    {"anonymous", "unknown", "restricted", "blocked", "unavailable", "private", "withheld", "invalid", "none"}
)
_KEYPAD: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
# +266696687 is ANONYMOUS on a keypad, +7378742833 RESTRICTED, +86282452253 UNAVAILABLE, and so on; the shortest words would
# be numbers that exist.
_WITHHELD_DIGITS: Final = frozenset(word.translate(_KEYPAD) for word in _WITHHELD_WORDS if len(word) >= 7)
_WITHHELD_HOST: Final = "anonymous.invalid"  # RFC 3323 section 4.1.1.3

_NUMBER: Final = re.compile(r"\+?[0-9]{2,15}")
_NUMBER_MARKS: Final = str.maketrans("", "", " -.()/\u00a0")
_SIP: Final = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@]*)@)?(?P<host>\[[^\]]*\]|[^:;?>]*)(?P<port>:\d*)?.*", re.IGNORECASE
)
_SHORTEST_E164: Final = 8  # digits; what is shorter is a short code or an extension


class Kind(StrEnum):
    """What kind of address it is."""

    NUMBER = "number"
    SIP = "sip"
    CLIENT = "client"
    WHATSAPP = "whatsapp"
    WITHHELD = "withheld"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a call. `address` is the one spelling by which it is compared: "+14155550100", "sip:alice@host",
    "client:alice", "whatsapp:+14155550100", anything else as it came; empty for a withheld one.
    """

    kind: Kind
    address: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.masked

    @property
    def is_withheld(self) -> bool:
        """Whether the caller hides who they are."""
        return self.kind is Kind.WITHHELD

    @property
    def key(self) -> str | None:
        """What tells this person from others, for counting; None where many people look the same."""
        return self.address or None

    @property
    def number(self) -> str:
        """The telephone number in it, "+" and digits or a short code; empty where there is none. A SIP user may be one."""
        match self.kind:
            case Kind.NUMBER:
                return self.address
            case Kind.WHATSAPP:
                return self.address.removeprefix("whatsapp:")
            case Kind.SIP:
                number = _number(self._sip_user)
                return number if number.startswith("+") else ""  # an extension is a number at its own host only
            case _:
                return ""

    @property
    def _sip_user(self) -> str:
        return self.address.removeprefix("sip:").rpartition("@")[0]

    @property
    def masked(self) -> str:
        """Enough to tell two apart in a log, not enough to know who it is."""
        match self.kind:
            case Kind.WITHHELD:
                return "withheld"
            case Kind.NUMBER:
                return _masked_number(self.address)
            case Kind.WHATSAPP:
                return "whatsapp:" + _masked_number(self.number)
            case Kind.SIP:
                return "sip:" + (_masked_number(self.number) if self.number else _masked_name(self._sip_user))
            case Kind.CLIENT:
                return "client:" + _masked_name(self.address[7:])
            case Kind.OTHER:
                return "***"

    def is_same_person(self, other: "Party") -> bool:
        """Whether both reach one person: the same address, or the same number in whatever kind. Withheld ones never are."""
        if self.key is None or other.key is None:
            return False
        return self.address == other.address or bool(self.number and self.number == other.number)

    def is_named_by(self, entry: str) -> bool:
        """Whether an entry of a list means this party and no other: an address in any spelling, or what begins like it up to
        a `*`; a word for withheld ones means all of them.
        """
        if entry.endswith("*"):
            beginning = entry[:-1].strip()
            return not self.is_withheld and self.address.startswith(beginning)
        named = party(entry)
        return self.is_withheld if named.is_withheld else self.address == named.address


def party(text: str) -> Party:
    """The party that a request's `From` or `To` says; never raises."""
    text = _clean(text)
    bracketed = re.search(r"<([^<>]+)>", text)  # "Alice" <sip:alice@host>
    if bracketed is not None:
        text = bracketed[1].strip()
    scheme, colon, rest = text.partition(":")
    match scheme.lower() if colon else "":
        case "sip" | "sips":
            return _sip(text)
        case "tel":
            return party(rest.partition(";")[0])
        case "client":
            return _named(Kind.CLIENT, rest.strip())
        case "whatsapp":
            number = _number(rest)
            return (
                _withheld_if_spelt(Kind.WHATSAPP, number, f"whatsapp:{number}")
                if number
                else _named(Kind.WHATSAPP, rest.strip())
            )
    if not text or text.lower() in _WITHHELD_WORDS:
        return Party(Kind.WITHHELD)
    number = _number(text)
    return _withheld_if_spelt(Kind.NUMBER, number, number) if number else Party(Kind.OTHER, text)


def caller_id(caller: Party, called: Party) -> str | None:
    """The caller id to dial on with: "" to leave it as it is, a number to set, None where Twilio would accept none.

    Only a leg from a telephone number may keep its own; from clients, SIP and WhatsApp Twilio wants a number of the
    account's (error 13214), which is the one that was called.
    """
    if caller.kind is Kind.NUMBER and len(caller.number) > _SHORTEST_E164:
        return ""
    return called.number if called.kind is Kind.NUMBER and called.number.startswith("+") else None


def _sip(text: str) -> Party:
    found = _SIP.fullmatch(text)
    if found is None:
        return Party(Kind.OTHER, text)
    user, host = (found["user"] or "").partition(";")[0].partition(":")[0], found["host"].lower().rstrip(".")
    if host == _WITHHELD_HOST or user.lower() in _WITHHELD_WORDS or _number(user).lstrip("+") in _WITHHELD_DIGITS:
        return Party(Kind.WITHHELD)
    return Party(Kind.SIP, f"sip:{_number(user) or user}@{host}" if user else f"sip:{host}")


def _named(kind: Kind, name: str) -> Party:
    if not name or name.lower() in _WITHHELD_WORDS:
        return Party(Kind.WITHHELD)
    return Party(kind, f"{kind.value}:{name}")


def _withheld_if_spelt(kind: Kind, number: str, address: str) -> Party:
    return Party(Kind.WITHHELD) if number.lstrip("+") in _WITHHELD_DIGITS else Party(kind, address)


def _number(text: str) -> str:
    """A number in its one spelling, or nothing when it is none."""
    digits = text.strip().translate(_NUMBER_MARKS)
    if _NUMBER.fullmatch(digits) is None:
        return ""
    bare = digits.lstrip("+")
    return f"+{bare}" if len(bare) >= _SHORTEST_E164 else bare


def _masked_number(number: str) -> str:
    digits = number.lstrip("+")
    if len(digits) >= _SHORTEST_E164:
        return "***" + digits[-4:]
    return "***" + digits[-2:] if len(digits) >= 5 else "***"


def _masked_name(name: str) -> str:
    return "***" + name[-2:] if len(name) >= 5 else "***"


def _clean(text: str) -> str:
    """Without control, format, surrogate and private characters, blanks collapsed, cut."""
    kept = (
        " " if character.isspace() else character
        for character in text[: LONGEST_ADDRESS * 4]
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    return " ".join("".join(kept).split())[:LONGEST_ADDRESS]
