"""What is the memory store's own: it shows no token, and its size has a limit."""

from shelves import Clock

from callbot.store.memory import REMEMBER_S, MemoryCallStore
from callbot.store.protocol import StreamGrant, TokenOutcome

ACCOUNT = "AC" + "a" * 32


def grant(call_sid: str) -> StreamGrant:
    return StreamGrant(call_sid, ACCOUNT, 1, "***5310")


async def show(store: MemoryCallStore, token: str, call_sid: str) -> TokenOutcome:
    return (await store.consume(token, call_sid=call_sid, account_sid=ACCOUNT, stream_no=1)).outcome


async def test_tokens_are_not_shown_by_repr() -> None:
    store = MemoryCallStore(Clock())
    minted = await store.mint(grant("CA" + "1" * 32), 60)
    assert minted.token not in repr(store._calls)


async def test_calls_are_forgotten_in_time_and_bounded_in_number() -> None:
    clock = Clock()
    store = MemoryCallStore(clock, max_calls=10)
    tokens = [(await store.mint(grant(f"CA{number:032x}"), 60)).token for number in range(25)]
    assert (len(store), len(store._tokens)) == (10, 10)
    assert await show(store, tokens[0], f"CA{0:032x}") is TokenOutcome.UNKNOWN
    assert await show(store, tokens[24], f"CA{24:032x}") is TokenOutcome.ACCEPTED
    clock.now_s += REMEMBER_S
    assert await store.ending("CA" + "1" * 32) is None
    assert (len(store), len(store._tokens)) == (0, 0)
