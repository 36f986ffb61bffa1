"""Who calls: every spelling of one person is one person, and no two withheld callers are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.wire.twilio.party import LONGEST_ADDRESS, Kind, Party, caller_id, party

WITHHELD = [
    "anonymous", "Anonymous", "ANONYMOUS", "+266696687", "266696687", "+7378742833", "Restricted", "",
    "sip:anonymous@anonymous.invalid", "unavailable", "+86282452253", "86282452253", "unknown", "+8656696",
    "blocked", "+2562533",
    "private", "sip:Anonymous@192.0.2.1:5060", "sips:restricted@host", '"Anonymous" <sip:anonymous@anonymous.invalid>',
    "client:anonymous", "client:", "whatsapp:+266696687", "tel:+266696687", "  anonymous \r\n", "sip:266696687@host",
]  # fmt: skip


@pytest.mark.parametrize("spelling", WITHHELD)
def test_every_spelling_of_a_withheld_number_is_withheld_and_nobody_in_particular(spelling: str) -> None:
    caller = party(spelling)
    assert (caller.kind, caller.address, caller.key, caller.number, caller.masked) == (Kind.WITHHELD, "", None, "", "withheld")
    assert not caller.is_same_person(party(spelling))
    for entry in WITHHELD:
        assert caller.is_named_by(entry)
    assert not caller.is_named_by("*")
    assert not caller.is_named_by("+1*")


@pytest.mark.parametrize(
    ("text", "kind", "address", "masked"),
    [
        ("+14155550100", Kind.NUMBER, "+14155550100", "***0100"),
        ("14155550100", Kind.NUMBER, "+14155550100", "***0100"),
        ("+1 (415) 555-0100", Kind.NUMBER, "+14155550100", "***0100"),
        ("tel:+14155550100;phone-context=x", Kind.NUMBER, "+14155550100", "***0100"),
        ("72345", Kind.NUMBER, "72345", "***45"),
        ("911", Kind.NUMBER, "911", "***"),
        ("sip:alice@203.0.113.20:5060", Kind.SIP, "sip:alice@203.0.113.20", "sip:***ce"),
        ("SIP:alice@203.0.113.20", Kind.SIP, "sip:alice@203.0.113.20", "sip:***ce"),
        ("sips:alice@Example.COM:5061;transport=tls?x=y", Kind.SIP, "sip:alice@example.com", "sip:***ce"),
        ("sip:alice:secret@example.com", Kind.SIP, "sip:alice@example.com", "sip:***ce"),
        ('"Alice" <sip:alice@example.com>;tag=1', Kind.SIP, "sip:alice@example.com", "sip:***ce"),
        ("sip:bo@example.com", Kind.SIP, "sip:bo@example.com", "sip:***"),
        ("sip:+14155550100@example.com;user=phone", Kind.SIP, "sip:+14155550100@example.com", "sip:***0100"),
        ("sip:alice@[2001:db8::1]:5060", Kind.SIP, "sip:alice@[2001:db8::1]", "sip:***ce"),
        ("sip:example.com", Kind.SIP, "sip:example.com", "sip:***"),
        ("client:support_agent", Kind.CLIENT, "client:support_agent", "client:***nt"),
        ("whatsapp:+14155550100", Kind.WHATSAPP, "whatsapp:+14155550100", "whatsapp:***0100"),
        ("messenger:1234", Kind.OTHER, "messenger:1234", "***"),
        ("Ada Lovelace", Kind.OTHER, "Ada Lovelace", "***"),
    ],
)
def test_an_address_has_one_spelling_and_a_mask(text: str, kind: Kind, address: str, masked: str) -> None:
    caller = party(text)
    assert (caller.kind, caller.address, caller.masked, str(caller)) == (kind, address, masked, masked)
    assert address not in repr(caller)
    assert caller.key == address
    assert party(caller.address) == caller


def test_a_person_is_the_same_in_every_spelling_and_kind_of_their_number() -> None:
    spellings = [
        "+14155550100", "14155550100", "+1-415-555-0100", "whatsapp:+14155550100", "sip:+14155550100@a.example",
        "sip:14155550100@b.example:5060",
    ]  # fmt: skip
    for one in spellings:
        for other in spellings:
            assert party(one).is_same_person(party(other)), (one, other)
        assert not party(one).is_same_person(party("+14155550101"))
        assert not party(one).is_same_person(party("client:14155550100"))
    assert party("sip:alice@host:5060").is_same_person(party("sips:alice@HOST"))
    assert not party("sip:alice@host").is_same_person(party("sip:alice@other"))
    assert not party("sip:100@host").is_same_person(party("sip:100@other"))
    assert not party("client:Alice").is_same_person(party("client:alice")), "Twilio's identities have capitals"


@pytest.mark.parametrize(
    ("entry", "caller", "is_named"),
    [
        ("+14155550100", "+14155550100", True),
        ("14155550100", "+14155550100", True),
        ("+1 415 555 0100", "+14155550100", True),
        ("+14155550100", "+141555501009", False),
        ("5550100", "+14155550100", False),
        ("+1415*", "+14155550100", True),
        ("+1415*", "sip:+14155550100@host", False),
        ("+14155550100", "sip:+14155550100@host", False),
        ("sip:alice@host", "sip:alice@host:5060", True),
        ("sip:alice@host:5061", "sip:alice@host", True),
        ("client:*", "client:alice", True),
        ("*", "client:alice", True),
        ("anonymous", "+14155550100", False),
        ("", "+14155550100", False),
    ],
)
def test_an_entry_of_a_list_means_one_caller_or_what_begins_like_it(entry: str, caller: str, is_named: bool) -> None:
    assert party(caller).is_named_by(entry) is is_named


@pytest.mark.parametrize(
    ("caller", "called", "expected"),
    [
        ("+14155550100", "+14155550199", ""),
        ("client:alice", "+14155550199", "+14155550199"),
        ("sip:alice@host", "+14155550199", "+14155550199"),
        ("sip:+14155550100@host", "+14155550199", "+14155550199"),
        ("whatsapp:+14155550100", "+14155550199", "+14155550199"),
        ("anonymous", "+14155550199", "+14155550199"),
        ("", "+14155550199", "+14155550199"),
        ("client:alice", "client:bot", None),
        ("client:alice", "72345", None),
        ("sip:alice@host", "sip:bot@host", None),
    ],
)
def test_the_caller_id_to_dial_on_with_is_one_that_twilio_accepts(caller: str, called: str, expected: str | None) -> None:
    assert caller_id(party(caller), party(called)) == expected


@given(st.text(max_size=300))
def test_any_text_is_somebody_and_the_spelling_is_stable(text: str) -> None:
    caller = party(text)
    assert isinstance(caller, Party)
    assert len(caller.address) <= LONGEST_ADDRESS + len("whatsapp:+")
    assert party(caller.address).kind in {caller.kind, Kind.WITHHELD}
    assert caller.is_same_person(caller) is not caller.is_withheld
    assert len(caller.masked) <= 20
