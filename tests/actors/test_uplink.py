"""The uplink: in order, without gap or repetition, oldest dropped first."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from callbot.actors.uplink import PCM_BYTES_PER_MS, Uplink

FRAME = 20 * PCM_BYTES_PER_MS


def frame(number: int) -> bytes:
    return number.to_bytes(4, "big") * (FRAME // 4)


def test_audio_comes_out_as_it_went_in_joined_up_to_the_limit() -> None:
    uplink = Uplink(cap_s=10)
    for number in range(7):
        uplink.push(frame(number))
    assert uplink.held_ms == 140
    assert uplink.take(5 * FRAME) == b"".join(frame(number) for number in range(5))
    assert uplink.take(5 * FRAME) == frame(5) + frame(6)
    assert (uplink.take(5 * FRAME), uplink.held_ms) == (b"", 0)


def test_a_chunk_over_the_limit_is_still_taken_whole() -> None:
    uplink = Uplink(cap_s=10)
    uplink.push(frame(1) * 3)
    uplink.push(frame(2))
    assert uplink.take(FRAME) == frame(1) * 3
    assert uplink.take(FRAME) == frame(2)


def test_nothing_is_not_a_chunk() -> None:
    uplink = Uplink(cap_s=10)
    uplink.push(b"")
    uplink.put_back(b"")
    assert uplink.held_ms == 0
    assert uplink.take(FRAME) == b""


def test_the_oldest_audio_is_dropped_beyond_the_cap() -> None:
    uplink = Uplink(cap_s=0.1)
    for number in range(8):
        uplink.push(frame(number))
    assert (uplink.held_ms, uplink.dropped_ms) == (100, 60)
    assert uplink.take(10 * FRAME) == b"".join(frame(number) for number in range(3, 8))


def test_what_could_not_be_sent_is_the_oldest_again() -> None:
    uplink = Uplink(cap_s=10)
    for number in range(3):
        uplink.push(frame(number))
    uplink.put_back(uplink.take(2 * FRAME))
    assert uplink.held_ms == 60
    assert uplink.take(10 * FRAME) == frame(0) + frame(1) + frame(2)


def test_forgetting_says_how_much_there_was() -> None:
    uplink = Uplink(cap_s=10)
    uplink.push(frame(1))
    uplink.push(frame(2))
    assert (uplink.clear(), uplink.held_ms, uplink.dropped_ms) == (40, 0, 40)
    assert uplink.take(FRAME) == b""


operations = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("take and put back"), st.integers(1, 6)),
    ),
    max_size=80,
)


@given(operations)
def test_whatever_is_pushed_taken_and_put_back_nothing_is_lost_doubled_or_swapped(work: list[tuple[str, int]]) -> None:
    uplink = Uplink(cap_s=60)
    pushed = sent = b""
    for what, frames in work:
        if what == "push":
            chunk = b"".join(frame(len(pushed) // FRAME + offset) for offset in range(frames))
            pushed += chunk
            uplink.push(chunk)
        elif what == "take":
            sent += uplink.take(frames * FRAME)
        else:
            uplink.put_back(uplink.take(frames * FRAME))
        assert uplink.held_ms * PCM_BYTES_PER_MS == len(pushed) - len(sent)
    while chunk := uplink.take(5 * FRAME):
        sent += chunk
    assert sent == pushed
    assert uplink.dropped_bytes == 0


@given(operations, st.integers(3, 12))
def test_beyond_the_cap_only_the_oldest_is_missing(work: list[tuple[str, int]], cap_frames: int) -> None:
    uplink = Uplink(cap_s=cap_frames * 0.02)
    number = 0
    sent: list[int] = []

    def note(chunk: bytes) -> None:
        sent.extend(int.from_bytes(chunk[at : at + 4], "big") for at in range(0, len(chunk), FRAME))

    for what, frames in work:
        if what == "push":
            for _ in range(frames):
                uplink.push(frame(number))
                number += 1
            assert uplink.held_ms <= cap_frames * 20
        elif what == "take":
            note(uplink.take(frames * FRAME))
        else:
            uplink.put_back(uplink.take(frames * FRAME))
    while chunk := uplink.take(5 * FRAME):
        note(chunk)
    assert sent == sorted(set(sent))
    assert len(sent) + uplink.dropped_bytes // FRAME == number
    assert sent[-1:] == ([number - 1] if number else [])


async def test_a_waiter_is_woken_by_audio_at_once() -> None:
    uplink = Uplink(cap_s=10)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(uplink.wait())
        await asyncio.sleep(1)
        assert not waiting.done()
        uplink.push(frame(1))
        uplink.push(frame(2))
        await waiting
    await uplink.wait()  # audio waits: returns at once


async def test_a_waiter_is_woken_by_a_nudge() -> None:
    uplink = Uplink(cap_s=10)
    uplink.nudge()  # nobody waits: nothing happens
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(uplink.wait())
        await asyncio.sleep(1)
        uplink.nudge()
        uplink.nudge()
        await waiting
    assert uplink.take(FRAME) == b""


async def test_a_waiter_that_is_cancelled_leaves_the_uplink_as_it_was() -> None:
    uplink = Uplink(cap_s=10)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(uplink.wait())
        await asyncio.sleep(1)
        waiting.cancel()
    uplink.push(frame(1))
    assert uplink.take(FRAME) == frame(1)
