"""Conversations between their streams: whose they are, how many, for how long."""

from callbot.conversation import Conversation
from callbot.store.conversations import MemoryConversations


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_conversation_is_there_for_its_next_stream_once() -> None:
    kept = MemoryConversations(Clock())
    kept.leave(Conversation("CA1", turns=3))
    assert kept.take("CA2") is None
    assert kept.take("CA1") == Conversation("CA1", turns=3)
    assert kept.take("CA1") is None


def test_the_newest_of_a_call_counts() -> None:
    kept = MemoryConversations(Clock())
    kept.leave(Conversation("CA1", turns=3))
    kept.leave(Conversation("CA1", turns=5))
    assert (len(kept), kept.take("CA1")) == (1, Conversation("CA1", turns=5))


def test_beyond_the_limit_the_oldest_is_forgotten() -> None:
    kept = MemoryConversations(Clock(), max_kept=2)
    for number in range(3):
        kept.leave(Conversation(f"CA{number}"))
    assert [kept.take(f"CA{number}") is not None for number in range(3)] == [False, True, True]


def test_after_a_while_it_is_forgotten() -> None:
    clock = Clock()
    kept = MemoryConversations(clock, keep_s=10.0)
    kept.leave(Conversation("CA1"))
    clock.now_s = 10.0
    assert kept.take("CA1") is None
    assert len(kept) == 0
