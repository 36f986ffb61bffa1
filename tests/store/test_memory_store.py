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
    assert len(store) == 10
    assert await show(store, tokens[24], f"CA{24:032x}") is TokenOutcome.ACCEPTED
    clock.now_s += REMEMBER_S
    assert await store.ending("CA" + "1" * 32) is None
    assert len(store) == 0


async def test_another_process_with_the_same_secret_lets_a_stream_in_once_and_one_without_it_never() -> None:
    wall_clock = Clock()
    call_sid = "CA" + "1" * 32
    one, other, stranger = (MemoryCallStore(Clock(), secrets, wall_clock=wall_clock) for secrets in (["s"], ["s"], []))
    token = (await one.mint(grant(call_sid), 60)).token
    assert await show(stranger, token, call_sid) is TokenOutcome.UNKNOWN
    assert await show(other, token, call_sid) is TokenOutcome.ACCEPTED
    assert await show(other, token, call_sid) is TokenOutcome.USED
    wall_clock.now_s += 60
    late = MemoryCallStore(Clock(), ["s"], wall_clock=wall_clock)
    assert await show(late, token, call_sid) is TokenOutcome.EXPIRED
    assert await show(other, token, call_sid) is TokenOutcome.USED


async def test_beyond_the_limit_of_bytes_the_call_idle_longest_loses_its_record_and_nothing_else() -> None:
    store = MemoryCallStore(Clock(), max_records_bytes=100)
    for number in range(3):
        assert store.save(f"CA{number}", 1, bytes(40))
    store.save("CA1", 1, bytes(50))
    assert [await store.load(f"CA{number}") for number in range(3)] == [None, bytes(50), bytes(40)]
    await store.forget("CA1")
    assert store.save("CA3", 1, bytes(60))
    assert await store.load("CA2") == bytes(40)
