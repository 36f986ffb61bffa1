"""The conversation: what is kept of it, within which bounds, and that its bytes lose nothing."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.brief import Brief, Generation, Limits
from callbot.conversation import (
    MAX_CHARS,
    MAX_KEYS,
    MAX_LINE_CHARS,
    MAX_TOOLS,
    SCHEMA,
    Conversation,
    ConversationError,
    Handle,
    SaidLine,
    ToolEntry,
    ToolStatus,
)
from callbot.messages.terms import Ending, Outcome, Role

SECRET = "secret-handle-91"
BEGUN = Conversation("CA1")

json_objects = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), max_size=3
)
entries = st.builds(
    ToolEntry,
    call_id=st.text(),
    name=st.text(),
    turn=st.integers(0, 99),
    session_no=st.integers(0, 99),
    arguments=json_objects,
    status=st.sampled_from(ToolStatus),
    result=st.none() | json_objects,
    interrupted=st.booleans(),
)
briefs = st.builds(
    Brief,
    prompt=st.text(),
    greeting=st.text(),
    voice=st.text(),
    models=st.lists(st.text(), min_size=1, max_size=3).map(tuple),
    limits=st.builds(Limits, max_call_s=st.floats(0, 1e6), max_tries=st.integers(0, 99), hash_ends_keys=st.booleans()),
    generation=st.builds(Generation, temperature=st.none() | st.floats(0, 2)),
)
conversations = st.builds(
    Conversation,
    call_sid=st.text(),
    caller=st.text(),
    called=st.text(),
    brief=briefs,
    started_s=st.floats(0, 1e10),
    streams=st.integers(0, 99),
    sessions=st.integers(0, 99),
    turns=st.integers(0, 99),
    handle=st.none() | st.builds(Handle, st.text(), st.text(), st.floats(0, 1e10)),
    lines=st.lists(st.builds(SaidLine, st.sampled_from(Role), st.text()), max_size=5).map(tuple),
    line_open=st.booleans(),
    greeted=st.booleans(),
    answer_due=st.booleans(),
    keys=st.text(max_size=5),
    tools=st.lists(entries, max_size=4).map(tuple),
    ending=st.none() | st.sampled_from(Ending),
    outcome=st.none() | st.sampled_from(Outcome),
    reason=st.text(),
)


@given(conversations)
def test_bytes_lose_nothing(conversation: Conversation) -> None:
    assert Conversation.from_bytes(conversation.to_bytes()) == conversation


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"schema":1}', b'{"schema":1,"conversation":{"call_sid":7}}', b"\xff\xfe", b'"x"', b"null"],
)
def test_what_is_no_conversation_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ConversationError):
        Conversation.from_bytes(data)


def test_a_conversation_of_a_newer_version_is_never_half_read() -> None:
    tree = msgspec.json.decode(BEGUN.to_bytes())
    with pytest.raises(ConversationError, match=f"schema {SCHEMA + 1}"):
        Conversation.from_bytes(msgspec.json.encode(tree | {"schema": SCHEMA + 1}))


def test_no_secret_and_no_word_is_in_a_printed_form() -> None:
    said = BEGUN.add_words(Role.CALLER, SECRET)
    whole = replace(said, handle=Handle(SECRET, "m", 1.0), keys=SECRET, tools=(ToolEntry("f1", "x", 1, 1, {"a": SECRET}),))
    assert SECRET not in repr(whole)


# What was said.


def test_fragments_of_one_side_are_one_line_until_the_other_speaks() -> None:
    said = BEGUN.add_words(Role.CALLER, " I want").add_words(Role.CALLER, " a pizza.").add_words(Role.BOT, "Which?")
    assert said.lines == (SaidLine(Role.CALLER, "I want a pizza."), SaidLine(Role.BOT, "Which?"))


def test_a_line_that_has_ended_is_not_gone_on_with() -> None:
    said = BEGUN.add_words(Role.BOT, "One.").end_line().add_words(Role.BOT, "Two.")
    assert [line.text for line in said.lines] == ["One.", "Two."]


def test_what_was_not_heard_was_not_said() -> None:
    said = BEGUN.add_words(Role.BOT, "one two three four five six").end_line().add_words(Role.CALLER, "stop")
    assert [line.text for line in said.cut_last_line(0.5).lines] == ["one two three", "stop"]
    assert said.cut_last_line(0.0).lines[0].text == ""
    assert BEGUN.cut_last_line(0.5) == BEGUN


def test_the_oldest_words_are_forgotten_first() -> None:
    said = BEGUN
    for number in range(200):
        said = said.add_words(Role.CALLER, f"{number} " + "x" * 100).end_line()
    assert sum(len(line.text) for line in said.lines) <= MAX_CHARS
    assert said.lines[-1].text.startswith("199 ")
    assert len(BEGUN.add_words(Role.BOT, "y" * 5000).lines[0].text) == MAX_LINE_CHARS


# Keys and tools.


def test_keys_have_a_limit() -> None:
    said: Conversation = BEGUN
    for _ in range(50):
        said = said.add_key("7")
    assert said.keys == "7" * MAX_KEYS


def test_the_ledger_forgets_what_is_answered_first() -> None:
    ledger = BEGUN.open_tool(ToolEntry("open", "x", 1, 1))
    for number in range(MAX_TOOLS + 5):
        ledger = ledger.open_tool(ToolEntry(f"f{number}", "x", 1, 1, status=ToolStatus.ANSWERED))
    assert len(ledger.tools) == MAX_TOOLS
    assert ledger.tools[0].call_id == "open"
    assert ledger.tools_running


def test_an_interruption_is_of_the_turn_that_is_not_complete() -> None:
    ledger = replace(BEGUN, completed_turn=1).open_tool(ToolEntry("old", "x", 1, 1)).open_tool(ToolEntry("new", "x", 2, 1))
    assert [entry.interrupted for entry in ledger.interrupt_tools().tools] == [False, True]


def test_the_newest_call_of_an_id_is_meant() -> None:
    ledger = BEGUN.open_tool(ToolEntry("f1", "x", 1, 1, status=ToolStatus.ANSWERED)).open_tool(ToolEntry("f1", "x", 2, 2))
    changed = ledger.set_tool("f1", status=ToolStatus.FINISHED, result={"a": 1})
    assert [entry.status for entry in changed.tools] == [ToolStatus.ANSWERED, ToolStatus.FINISHED]
    assert ledger.set_tool("other", status=ToolStatus.FINISHED) == ledger
