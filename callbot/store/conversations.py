"""Conversations of this process, between their streams: in memory, bounded in number, and forgotten after a while."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from callbot.conversation import Conversation

KEEP_S: Final = 4 * 3600.0  # Twilio's longest call
MAX_KEPT: Final = 10_000  # a few kilobytes each


class MemoryConversations:
    """The newest `max_kept` conversations, each for `keep_s`. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], *, keep_s: float = KEEP_S, max_kept: int = MAX_KEPT) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._max_kept = max_kept
        self._kept: OrderedDict[str, tuple[float, Conversation]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, call_sid: str) -> Conversation | None:
        """The conversation of a call that has had a stream, which has it from now on; None when nothing is known of it."""
        self._drop_old()
        kept = self._kept.pop(call_sid, None)
        return None if kept is None else kept[1]

    def leave(self, conversation: Conversation) -> None:
        """Keep a conversation as its stream has left it; the oldest beyond the limit is forgotten."""
        self._drop_old()
        self._kept.pop(conversation.call_sid, None)
        self._kept[conversation.call_sid] = (self._clock(), conversation)
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)

    def forget(self, call_sid: str) -> None:
        """The call is over: nothing of it is kept."""
        self._kept.pop(call_sid, None)

    def _drop_old(self) -> None:
        while self._kept:
            left_s, _ = next(iter(self._kept.values()))
            if self._clock() - left_s < self._keep_s:
                return
            self._kept.popitem(last=False)
