"""What has to survive a stream: a frozen value that a call is given at its start and leaves at its end.

It knows who speaks with whom and by which brief, what was said and heard, the model's newest handle, and which tool calls
are open. It goes to bytes and back without loss. Everything here is pure; times are Unix seconds, given by the caller.
"""

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import msgspec

from callbot.brief import Brief
from callbot.messages.terms import Ending, Outcome, Role

SCHEMA: Final = 1
# About ten minutes of talk; a fresh session needs the gist, not the record.
MAX_CHARS: Final = 8_000
MAX_LINE_CHARS: Final = 1_000
MAX_KEYS: Final = 32  # more than any account number
MAX_TOOLS: Final = 64  # the newest calls; an open one is never dropped


class ConversationError(Exception):
    """Bytes that are no conversation which this version can go on with; the message says why."""


class ToolStatus(StrEnum):
    """Where a tool call stands."""

    RUNNING = "running"
    FINISHED = "finished"  # there is a result, and the model has not been told
    ANSWERED = "answered"  # the model has been told, or wants no answer any more


@dataclass(frozen=True, slots=True)
class SaidLine:
    """One line of what was said; the bot's own as far as the caller heard it."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Handle:
    """The newest resumable handle of the model's session: a bearer secret, never logged."""

    value: str = field(repr=False)
    model: str
    renewed_s: float


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """One tool call. `interrupted` says that its turn was: its effects on the call are void then."""

    call_id: str
    name: str
    turn: int
    session_no: int
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    status: ToolStatus = ToolStatus.RUNNING
    result: dict[str, Any] | None = field(default=None, repr=False)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation by telephone, over all its streams and sessions.

    `turns` and `sessions` count what has been given out so far; numbers begin at 1 and are never used again.
    """

    call_sid: str
    account_sid: str = ""
    direction: str = "inbound"
    caller: str = ""
    called: str = ""
    brief: Brief = field(default_factory=Brief)
    started_s: float = 0.0
    streams: int = 0
    sessions: int = 0
    turns: int = 0
    completed_turn: int = 0  # the newest that the service has called complete
    handle: Handle | None = None
    model_index: int = 0
    lines: tuple[SaidLine, ...] = field(default=(), repr=False)
    line_open: bool = False  # the next fragment of the same side goes on with the last line
    greeted: bool = False
    answer_due: bool = False  # the caller was owed an answer when the last stream ended
    keys: str = field(default="", repr=False)
    tools: tuple[ToolEntry, ...] = ()
    ending: Ending | None = None
    outcome: Outcome | None = None
    reason: str = ""

    # What was said.

    @property
    def talked(self) -> bool:
        """Whether anything was said or heard: a fresh session is told then."""
        return self.greeted or bool(self.lines)

    def add_words(self, role: Role, text: str) -> "Conversation":
        """Add a fragment of a transcription; it joins the last line when the same side goes on."""
        lines = self.lines
        if lines and self.line_open and lines[-1].role is role:
            lines, text = lines[:-1], lines[-1].text + text
        text = text.lstrip()[-MAX_LINE_CHARS:]
        lines = (*lines, SaidLine(role, text))
        excess = sum(len(line.text) for line in lines) - MAX_CHARS
        first = 0
        while excess > 0:
            excess -= len(lines[first].text)
            first += 1
        return replace(self, lines=lines[first:], line_open=True)

    def end_line(self) -> "Conversation":
        """What comes next is a new line, whoever says it."""
        return replace(self, line_open=False) if self.line_open else self

    def cut_last_line(self, heard: float) -> "Conversation":
        """Of the bot's last line only the share `heard` (0 to 1) reached the caller; the rest was never said."""
        for index in range(len(self.lines) - 1, -1, -1):
            if self.lines[index].role is Role.BOT:
                words = self.lines[index].text.split(" ")
                kept = SaidLine(Role.BOT, " ".join(words[: round(len(words) * heard)]))
                return replace(self, lines=(*self.lines[:index], kept, *self.lines[index + 1 :]))
        return self

    # Tool calls.

    @property
    def tools_running(self) -> bool:
        """Whether the model waits for a tool."""
        return any(entry.status is ToolStatus.RUNNING for entry in self.tools)

    def tool(self, call_id: str) -> ToolEntry | None:
        """The newest call of this id."""
        return next((entry for entry in reversed(self.tools) if entry.call_id == call_id), None)

    def open_tool(self, entry: ToolEntry) -> "Conversation":
        """Note a call that begins; beyond `MAX_TOOLS` the oldest that is answered is forgotten."""
        tools = (*self.tools, entry)
        if len(tools) > MAX_TOOLS:
            oldest = next((old for old in tools if old.status is ToolStatus.ANSWERED), None)
            tools = tuple(other for other in tools if other is not oldest)
        return replace(self, tools=tools)

    def interrupt_tools(self) -> "Conversation":
        """The turn that was not complete is interrupted: the effects of its calls are void."""
        if not any(entry.turn > self.completed_turn and not entry.interrupted for entry in self.tools):
            return self
        tools = (replace(entry, interrupted=entry.interrupted or entry.turn > self.completed_turn) for entry in self.tools)
        return replace(self, tools=tuple(tools))

    def add_key(self, digit: str) -> "Conversation":
        """Keys of one entry are collected, up to `MAX_KEYS`."""
        return self if len(self.keys) >= MAX_KEYS else replace(self, keys=self.keys + digit)

    def set_tool(self, call_id: str, **changes: Any) -> "Conversation":
        """Change the newest call of this id; nothing when there is none."""
        known = self.tool(call_id)
        if known is None:
            return self
        changed = replace(known, **changes)
        return replace(self, tools=tuple(changed if entry is known else entry for entry in self.tools))

    # To bytes and back.

    def to_bytes(self) -> bytes:
        """The conversation as JSON in UTF-8, with its schema's version."""
        return _ENCODER.encode(_Envelope(SCHEMA, self))

    @staticmethod
    def from_bytes(data: bytes) -> "Conversation":
        """The conversation of `to_bytes`. Raises `ConversationError` for anything else, a newer schema's included."""
        try:
            version = _VERSION.decode(data).schema
        except msgspec.MsgspecError as error:
            raise ConversationError(f"these bytes are no conversation ({error})") from None
        if version != SCHEMA:
            raise ConversationError(f"this conversation has schema {version}; this version of callbot reads schema {SCHEMA}")
        try:
            return _DECODER.decode(data).conversation
        except (msgspec.MsgspecError, ValueError) as error:
            raise ConversationError(f"this conversation cannot be read ({error})") from None


@dataclass(frozen=True, slots=True)
class _Envelope:
    schema: int
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class _Version:
    schema: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Envelope)
_VERSION: Final = msgspec.json.Decoder(_Version)


def result_text(result: dict[str, Any]) -> str:
    """A tool's result as a model reads it in a text."""
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))
