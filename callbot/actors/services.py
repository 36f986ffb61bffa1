"""What all calls of a process share. Made once, passed down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from callbot.actors.call_metrics import CallMetrics
from callbot.actors.ports import EndingRecorder
from callbot.brief import Brief
from callbot.conversation import Conversation
from callbot.gemini.link import SessionOpener
from callbot.tools import Toolbox


class Conversations(Protocol):
    """Where conversations are between their streams. Neither method waits."""

    def take(self, call_sid: str) -> Conversation | None:
        """The conversation of a call that has had a stream; None when nothing is known of it."""
        ...

    def leave(self, conversation: Conversation) -> None:
        """Keep a conversation as its stream has left it."""
        ...


@dataclass(frozen=True, slots=True)
class CallServices:
    """The process's part in every call. `clock` is the running loop's monotonic one, `wall_clock` Unix time, in seconds.

    `brief` is how calls are conducted for which there is no other.
    """

    brief: Brief
    opener: SessionOpener
    conversations: Conversations
    record_ending: EndingRecorder
    log: Any
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    toolbox: Toolbox
    redact: Callable[[str], str]
    backend: str = "gemini"
    log_transcripts: bool = False
    metrics: CallMetrics = field(default_factory=CallMetrics)
    random: Random = field(default_factory=Random)
