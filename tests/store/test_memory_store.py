"""Tokens open one stream once; endings last until the next stream; everything is bounded and expires."""

import asyncio

from callbot.messages import Ending
from callbot.store.memory import REMEMBER_S, MemoryCallStore
from callbot.store.protocol import CallStore, Minted, MintOutcome, Shown, StreamGrant, TokenOutcome

CALL = "CA" + "1" * 32
OTHER = "CA" + "2" * 32
ACCOUNT = "AC" + "a" * 32


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def grant(call_sid: str = CALL, attempt: int = 1) -> StreamGrant:
    return StreamGrant(call_sid, ACCOUNT, attempt, "***5310")


async def mint(store: CallStore, call_sid: str = CALL, attempt: int = 1) -> Minted:
    return await store.mint(grant(call_sid, attempt), 60)


async def show(
    store: CallStore, token: str, call_sid: str = CALL, account_sid: str = ACCOUNT, attempt: int = 1
) -> TokenOutcome:
    shown = await store.consume(token, call_sid=call_sid, account_sid=account_sid, attempt=attempt)
    assert (shown.grant is not None) is (shown.outcome is TokenOutcome.ACCEPTED)
    return shown.outcome


async def test_a_token_opens_its_stream_once() -> None:
    store = MemoryCallStore(Clock())
    minted = await mint(store)
    assert minted.outcome is MintOutcome.FRESH
    shown = await store.consume(minted.token, call_sid=CALL, account_sid=ACCOUNT, attempt=1)
    assert shown == Shown(TokenOutcome.ACCEPTED, grant())
    assert await show(store, minted.token) is TokenOutcome.USED


async def test_of_many_that_show_it_at_once_exactly_one_is_accepted() -> None:
    store = MemoryCallStore(Clock())
    token = (await mint(store)).token
    outcomes = await asyncio.gather(*(show(store, token) for _ in range(50)))
    assert outcomes.count(TokenOutcome.ACCEPTED) == 1


async def test_a_repeated_webhook_gets_the_same_unused_token_and_never_a_second() -> None:
    clock = Clock()
    store = MemoryCallStore(clock)
    first = await mint(store)
    assert await mint(store) == Minted(MintOutcome.REPEATED, first.token)
    assert await show(store, first.token) is TokenOutcome.ACCEPTED
    assert await mint(store) == Minted(MintOutcome.SPENT)
    second = await mint(store, attempt=2)
    clock.now_s += 60
    assert await mint(store, attempt=2) == Minted(MintOutcome.SPENT)
    assert await show(store, second.token, attempt=2) is TokenOutcome.EXPIRED


async def test_a_token_of_another_call_account_or_attempt_is_refused_and_stays_good() -> None:
    store = MemoryCallStore(Clock())
    token = (await mint(store)).token
    assert await show(store, token, call_sid=OTHER) is TokenOutcome.WRONG_CALL
    assert await show(store, token, account_sid="AC" + "b" * 32) is TokenOutcome.WRONG_CALL
    assert await show(store, token, attempt=2) is TokenOutcome.WRONG_CALL
    assert await show(store, token) is TokenOutcome.ACCEPTED


async def test_an_unknown_token_is_unknown() -> None:
    store = MemoryCallStore(Clock())
    assert await show(store, "") is TokenOutcome.UNKNOWN
    assert await show(store, "x" * 32) is TokenOutcome.UNKNOWN


async def test_tokens_differ_and_are_not_shown_by_repr() -> None:
    store = MemoryCallStore(Clock())
    tokens = {(await mint(store, f"CA{number:032x}")).token for number in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 32 for token in tokens)
    minted = await mint(store)
    assert minted.token not in repr(minted)
    assert minted.token not in repr(store._calls)


async def test_an_ending_lasts_until_the_next_stream() -> None:
    store = MemoryCallStore(Clock())
    token = (await mint(store)).token
    assert await store.ending(CALL) is None
    store.record_ending(CALL, Ending.CONTINUE)
    assert await store.ending(CALL) is Ending.CONTINUE
    await show(store, token)
    assert await store.ending(CALL) is None


async def test_a_forgotten_call_gets_no_token_and_its_old_one_is_void() -> None:
    store = MemoryCallStore(Clock())
    token = (await mint(store)).token
    store.record_ending(CALL, Ending.HANG_UP)
    await store.forget(CALL)
    assert await store.ending(CALL) is None
    assert await show(store, token) is TokenOutcome.UNKNOWN
    assert await mint(store) == Minted(MintOutcome.SPENT)
    assert await mint(store, attempt=2) == Minted(MintOutcome.SPENT)


async def test_calls_are_forgotten_in_time_and_bounded_in_number() -> None:
    clock = Clock()
    store = MemoryCallStore(clock, max_calls=10)
    tokens = [(await mint(store, f"CA{number:032x}")).token for number in range(25)]
    assert (len(store), len(store._tokens)) == (10, 10)
    assert await show(store, tokens[0], f"CA{0:032x}") is TokenOutcome.UNKNOWN
    assert await show(store, tokens[24], f"CA{24:032x}") is TokenOutcome.ACCEPTED
    clock.now_s += REMEMBER_S
    assert await store.ending(CALL) is None
    assert (len(store), len(store._tokens)) == (0, 0)
