"""Conversations that outlive a connection, and the handles that lead back to them.

A handle is a snapshot: resuming from an older one loses what happened since. It is bound to the model and the mode
that it was made for, and is valid for a time after the last connection ended (documented as 2 h for Gemini).
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(slots=True)
class Conversation:
    """What the model remembers. Copied into each handle."""

    lineage: int  # the same number for all connections of one logical session
    turns_begun: int = 0
    greeted: bool = False
    transcript: list[tuple[str, str]] = field(default_factory=list)  # (role, text)
    history: list[Any] = field(default_factory=list)  # clientContent turns, in camelCase

    def snapshot(self) -> "Conversation":
        """Return a copy that later turns do not change."""
        return replace(self, transcript=list(self.transcript), history=list(self.history))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handle is not honoured, in the words and with the code of the service."""

    code: int
    reason: str


NOT_FOUND = Refusal(1008, "BidiGenerateContent session not found")
STILL_OPEN = Refusal(1011, "Internal error encountered.")


@dataclass(frozen=True, slots=True)
class _Issued:
    conversation: Conversation
    model: str
    mode: str


class HandleBook:
    """All handles of one stand-in. Times are simulated seconds."""

    def __init__(self, *, seed: int, valid_s: float, forgetful: bool) -> None:
        self._random = random.Random(seed)
        self._valid_s = valid_s
        self._forgetful = forgetful
        self._issued: dict[str, _Issued] = {}
        self._ended_s: dict[int, float] = {}
        self._lineages = 0

    def new_conversation(self) -> Conversation:
        """Return an empty conversation of a new lineage."""
        self._lineages += 1
        return Conversation(self._lineages)

    def issue(self, conversation: Conversation, *, model: str, mode: str) -> str:
        """Return a new handle for the conversation as it is now."""
        handle = f"{conversation.lineage:04d}-{self._random.getrandbits(96):024x}"
        self._issued[handle] = _Issued(conversation.snapshot(), model, mode)
        return handle

    def lineage_of(self, handle: str) -> int | None:
        """Return which logical session a handle belongs to, None for an unknown one."""
        issued = self._issued.get(handle)
        return issued.conversation.lineage if issued else None

    def connection_ended(self, lineage: int, now_s: float) -> None:
        """Start the time for which the handles of this lineage stay valid."""
        self._ended_s[lineage] = now_s

    def expire_all(self) -> None:
        """Make every handle given so far unknown."""
        self._issued.clear()

    def redeem(self, handle: str, *, model: str, mode: str, now_s: float) -> Conversation | Refusal:
        """Return the conversation to go on with, or the refusal.

        Whether the old connection is still open is for the caller to check; the book does not know sockets.
        """
        issued = self._issued.get(handle)
        if issued is None or (issued.model, issued.mode) != (model, mode):
            return NOT_FOUND
        lineage = issued.conversation.lineage
        if now_s - self._ended_s.get(lineage, now_s) > self._valid_s:
            return NOT_FOUND
        return Conversation(lineage) if self._forgetful else issued.conversation.snapshot()
