"""What every store does: tokens open one stream once, endings last until the next stream, everything expires."""

import asyncio

from shelves import Shelf

from callbot.messages.terms import Ending
from callbot.store.memory import REMEMBER_S
from callbot.store.protocol import CallStore, Lease, Minted, MintOutcome, Shown, StreamGrant, TokenOutcome

CALL = "CA" + "1" * 32
OTHER = "CA" + "2" * 32
ACCOUNT = "AC" + "a" * 32


def grant(call_sid: str = CALL, stream_no: int = 1) -> StreamGrant:
    return StreamGrant(call_sid, ACCOUNT, stream_no, "***5310")


async def mint(store: CallStore, call_sid: str = CALL, stream_no: int = 1) -> Minted:
    return await store.mint(grant(call_sid, stream_no), 60)


async def show(
    store: CallStore, token: str, call_sid: str = CALL, account_sid: str = ACCOUNT, stream_no: int = 1
) -> TokenOutcome:
    shown = await store.consume(token, call_sid=call_sid, account_sid=account_sid, stream_no=stream_no)
    assert (shown.grant is not None) is (shown.outcome is TokenOutcome.ACCEPTED)
    return shown.outcome


async def test_a_token_opens_its_stream_once(shelf: Shelf) -> None:
    minted = await mint(shelf.store)
    assert minted.outcome is MintOutcome.FRESH
    shown = await shelf.other.consume(minted.token, call_sid=CALL, account_sid=ACCOUNT, stream_no=1)
    assert shown == Shown(TokenOutcome.ACCEPTED, grant())
    assert await show(shelf.store, minted.token) is TokenOutcome.USED
    assert await show(shelf.other, minted.token) is TokenOutcome.USED


async def test_of_many_that_show_it_at_once_exactly_one_is_accepted(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    outcomes = await asyncio.gather(*(show(store, token) for store in (shelf.store, shelf.other) for _ in range(25)))
    assert outcomes.count(TokenOutcome.ACCEPTED) == 1
    assert outcomes.count(TokenOutcome.USED) == 49


async def test_of_many_repeated_webhooks_at_once_one_is_the_first_and_all_get_its_token(shelf: Shelf) -> None:
    answers = await asyncio.gather(*(mint(store) for store in (shelf.store, shelf.other) for _ in range(25)))
    assert len({answer.token for answer in answers}) == 1
    assert [answer.outcome for answer in answers].count(MintOutcome.FRESH) == 1


async def test_a_repeated_webhook_gets_the_same_unused_token_and_never_a_second(shelf: Shelf) -> None:
    first = await mint(shelf.store)
    assert await mint(shelf.other) == Minted(MintOutcome.REPEATED, first.token)
    assert await show(shelf.store, first.token) is TokenOutcome.ACCEPTED
    assert await mint(shelf.store) == Minted(MintOutcome.SPENT)
    assert await mint(shelf.other) == Minted(MintOutcome.SPENT)
    second = await mint(shelf.store, stream_no=2)
    shelf.pass_time(60)
    assert await mint(shelf.other, stream_no=2) == Minted(MintOutcome.SPENT)
    assert await show(shelf.other, second.token, stream_no=2) is TokenOutcome.EXPIRED


async def test_a_token_of_another_call_account_or_stream_is_refused_and_stays_good(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    await mint(shelf.store, stream_no=2)
    assert await show(shelf.other, token, call_sid=OTHER) is TokenOutcome.WRONG_CALL
    assert await show(shelf.other, token, account_sid="AC" + "b" * 32) is TokenOutcome.WRONG_CALL
    assert await show(shelf.other, token, stream_no=2) is TokenOutcome.WRONG_CALL
    assert await show(shelf.other, token) is TokenOutcome.ACCEPTED


async def test_an_unknown_token_is_unknown(shelf: Shelf) -> None:
    await mint(shelf.store)
    assert await show(shelf.store, "") is TokenOutcome.UNKNOWN
    assert await show(shelf.store, "x" * 32) is TokenOutcome.UNKNOWN
    assert await show(shelf.store, f"{CALL}.1.nonce.mac") is TokenOutcome.UNKNOWN


async def test_tokens_differ_and_are_not_shown_by_repr(shelf: Shelf) -> None:
    minted = [await mint(shelf.store, f"CA{number:032x}") for number in range(100)]
    assert len({each.token for each in minted}) == 100
    assert all(len(each.token) >= 32 for each in minted)
    assert all(each.token not in repr(each) for each in minted)


async def test_an_ending_lasts_until_the_next_stream(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    assert await shelf.other.ending(CALL) is None
    shelf.store.record_ending(CALL, Ending.CONTINUE)
    assert await shelf.store.ending(CALL) is Ending.CONTINUE
    await shelf.written()
    assert await shelf.other.ending(CALL) is Ending.CONTINUE
    await show(shelf.other, token)
    await shelf.written()
    assert await shelf.other.ending(CALL) is None
    assert await shelf.store.ending(CALL) is None


async def test_the_newest_ending_counts(shelf: Shelf) -> None:
    for ending in (Ending.CONTINUE, Ending.APOLOGISE, Ending.HANG_UP):
        shelf.store.record_ending(CALL, ending)
    await shelf.written()
    assert await shelf.other.ending(CALL) is Ending.HANG_UP


async def test_a_forgotten_call_gets_no_token_and_its_old_one_is_void(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    shelf.store.record_ending(CALL, Ending.HANG_UP)
    await shelf.other.forget(CALL)
    await shelf.written()
    assert await shelf.other.ending(CALL) is None
    assert await show(shelf.store, token) is TokenOutcome.UNKNOWN
    assert await mint(shelf.store) == Minted(MintOutcome.SPENT)
    assert await mint(shelf.other, stream_no=2) == Minted(MintOutcome.SPENT)


async def test_a_call_is_forgotten_in_time_whatever_became_of_it(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    await show(shelf.store, token)
    shelf.store.record_ending(CALL, Ending.CONTINUE)
    await shelf.store.forget(OTHER)
    await shelf.written()
    shelf.pass_time(REMEMBER_S)
    assert await shelf.other.ending(CALL) is None
    assert (await mint(shelf.other, OTHER)).outcome is MintOutcome.FRESH


async def test_a_record_is_there_for_the_next_stream_as_it_was_left(shelf: Shelf) -> None:
    assert await shelf.store.load(CALL) is None
    await show(shelf.store, (await mint(shelf.store)).token)
    for text in (b"one", b"two", bytes(range(256))):
        assert shelf.store.save(CALL, 1, text)
    assert await shelf.store.load(CALL) == bytes(range(256)), "before it is written"
    await shelf.written()
    assert await shelf.other.load(CALL) == bytes(range(256))
    assert await shelf.other.load(OTHER) is None
    assert await shelf.other.lease(CALL, 2) == Lease(held=True, record=bytes(range(256)))


async def test_the_newest_stream_owns_the_record_and_what_an_older_one_saves_late_is_refused(shelf: Shelf) -> None:
    assert await shelf.store.lease(CALL, 1) == Lease(held=True)
    shelf.store.save(CALL, 1, b"first")
    await shelf.written()
    token = (await mint(shelf.other, stream_no=2)).token
    assert await show(shelf.other, token, stream_no=2) is TokenOutcome.ACCEPTED
    shelf.store.save(CALL, 1, b"late")
    await shelf.written()
    assert await shelf.other.load(CALL) == b"first"
    shelf.other.save(CALL, 2, b"second")
    await shelf.written()
    assert not shelf.store.save(CALL, 1, b"later still"), "known by now"
    await shelf.written()
    assert await shelf.store.load(CALL) == await shelf.other.load(CALL) == b"second"
    assert await shelf.store.lease(CALL, 1) == Lease(held=False)
    assert await shelf.store.lease(CALL, 3) == Lease(held=True, record=b"second")
    shelf.other.save(CALL, 2, b"late again")
    await shelf.written()
    assert await shelf.store.load(CALL) == b"second"


async def test_a_lease_voids_the_ending_and_the_tokens_of_older_streams(shelf: Shelf) -> None:
    token = (await mint(shelf.store)).token
    shelf.store.record_ending(CALL, Ending.CONTINUE)
    await shelf.written()
    assert (await shelf.other.lease(CALL, 2)).held
    assert await shelf.store.ending(CALL) is None
    assert await show(shelf.store, token) is TokenOutcome.USED
    assert await mint(shelf.store, stream_no=2) == Minted(MintOutcome.SPENT)


async def test_a_call_that_is_over_has_no_record_and_takes_none(shelf: Shelf) -> None:
    await shelf.store.lease(CALL, 1)
    shelf.store.save(CALL, 1, b"words")
    await shelf.written()
    await shelf.other.forget(CALL)
    shelf.store.save(CALL, 1, b"late")
    await shelf.written()
    assert await shelf.other.load(CALL) is None
    assert await shelf.other.lease(CALL, 2) == Lease(held=False)
    assert await shelf.store.load(CALL) is None


async def test_an_ending_and_a_record_that_wait_together_are_both_kept(shelf: Shelf) -> None:
    await shelf.store.lease(CALL, 1)
    shelf.store.save(CALL, 1, b"words")
    shelf.store.record_ending(CALL, Ending.CONTINUE)
    shelf.store.save(CALL, 1, b"last words")
    await shelf.written()
    assert (await shelf.other.ending(CALL), await shelf.other.load(CALL)) == (Ending.CONTINUE, b"last words")
