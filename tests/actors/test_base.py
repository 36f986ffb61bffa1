"""The actor base: one message at a time, in order; who fails, how, and who is told."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.actors.base import Actor, Mailbox, MailboxFullError, Overflow
from tests.virtual_time import NothingWillHappen, VirtualTimeLoop


class Recorder(Actor[str]):
    """Notes what it handles; `boom` makes it fail, `twice` makes it tell itself two more."""

    def __init__(self, *, size: int = 8, overflow: Overflow = Overflow.FAIL) -> None:
        super().__init__("recorder", mailbox_size=size, overflow=overflow)
        self.handled: list[str] = []
        self.depth = 0
        self.deepest = 0

    def handle(self, message: str) -> None:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        self.handled.append(message)
        if message == "boom":
            raise ValueError("boom")
        if message == "twice":
            self.tell("first")
            self.tell("second")
            self.handled.append("end of twice")
        if message == "stop":
            self.stop()
        self.depth -= 1


async def running(actor: Actor[str], group: asyncio.TaskGroup) -> asyncio.Task[None]:
    task = group.create_task(actor.run())
    await asyncio.sleep(0)
    return task


# The mailbox.


def test_a_mailbox_gives_messages_back_in_order() -> None:
    mailbox = Mailbox[str]("x", size=3, overflow=Overflow.FAIL)
    for message in "abc":
        mailbox.put(message)
    assert (len(mailbox), [mailbox.take() for _ in range(3)]) == (3, ["a", "b", "c"])
    with pytest.raises(IndexError):
        mailbox.take()


def test_a_full_control_mailbox_is_an_error_that_names_the_actor_and_the_size() -> None:
    mailbox = Mailbox[str]("transcoder", size=2, overflow=Overflow.FAIL)
    mailbox.put("a")
    mailbox.put("b")
    with pytest.raises(MailboxFullError, match="mailbox of transcoder is full \\(2 messages\\)"):
        mailbox.put("c")
    assert len(mailbox) == 2


@given(st.integers(1, 20), st.lists(st.integers(), max_size=60))
def test_a_full_audio_mailbox_keeps_the_newest_and_counts_the_rest(size: int, messages: list[int]) -> None:
    mailbox = Mailbox[int]("x", size=size, overflow=Overflow.DROP_OLDEST)
    for message in messages:
        mailbox.put(message)
    assert [mailbox.take() for _ in range(len(mailbox))] == messages[-size:]
    assert mailbox.dropped == max(0, len(messages) - size)


# Telling.


async def test_an_idle_actor_handles_a_message_in_the_tellers_own_turn() -> None:
    actor = Recorder()
    async with asyncio.TaskGroup() as group:
        await running(actor, group)
        actor.tell("a")
        assert actor.handled == ["a"]
        actor.stop()


async def test_messages_told_before_the_actor_runs_are_handled_first_and_in_order() -> None:
    actor = Recorder()
    actor.tell("a")
    actor.tell("b")
    assert actor.handled == []
    async with asyncio.TaskGroup() as group:
        await running(actor, group)
        actor.tell("c")
        assert actor.handled == ["a", "b", "c"]
        actor.stop()


async def test_a_message_told_while_one_is_handled_waits_for_its_end() -> None:
    actor = Recorder()
    async with asyncio.TaskGroup() as group:
        await running(actor, group)
        actor.tell("twice")
        assert actor.handled == ["twice", "end of twice", "first", "second"]
        assert actor.deepest == 1
        actor.stop()


async def test_two_actors_that_tell_each_other_without_end_of_talk_keep_the_order() -> None:
    class Echo(Recorder):
        other: "Echo"

        def handle(self, message: str) -> None:
            super().handle(message)
            if len(message) < 5:
                self.other.tell(message + "!")
                self.handled.append(f"told {message}!")

    left, right = Echo(), Echo()
    left.other, right.other = right, left
    async with asyncio.TaskGroup() as group:
        await running(left, group)
        await running(right, group)
        left.tell("a")
        assert left.handled == ["a", "told a!", "a!!", "told a!!!", "a!!!!"]
        assert right.handled == ["a!", "told a!!", "a!!!", "told a!!!!"]
        assert (left.deepest, right.deepest) == (1, 1)
        left.stop()
        right.stop()


async def test_messages_beyond_the_end_are_counted_and_dropped() -> None:
    actor = Recorder()
    async with asyncio.TaskGroup() as group:
        task = await running(actor, group)
        actor.stop()
        await task
    actor.tell("late")
    assert (actor.handled, actor.late) == ([], 1)


# Ending.


async def test_stop_ends_the_actor_without_an_error() -> None:
    actor = Recorder()
    async with asyncio.TaskGroup() as group:
        task = await running(actor, group)
        actor.stop()
        actor.stop()
        await task
    assert not task.cancelled()


async def test_an_actor_stopped_before_it_runs_never_lives() -> None:
    actor = Recorder()
    actor.tell("a")
    actor.stop()
    await actor.run()
    assert actor.handled == []


async def test_an_actor_that_stops_itself_in_a_message_handles_no_other() -> None:
    actor = Recorder()
    async with asyncio.TaskGroup() as group:
        task = await running(actor, group)
        actor.tell("stop")
        actor.tell("late")
        await task
    assert (actor.handled, actor.late) == (["stop"], 1)


async def test_a_fault_leaves_through_run_and_not_through_the_teller() -> None:
    actor = Recorder()
    task = asyncio.ensure_future(actor.run())
    await asyncio.sleep(0)
    actor.tell("boom")
    with pytest.raises(ValueError, match="boom"):
        await task
    actor.tell("late")
    assert (actor.handled, actor.late) == (["boom"], 1)


async def test_a_fault_in_an_early_message_leaves_through_run() -> None:
    actor = Recorder()
    actor.tell("boom")
    with pytest.raises(ValueError, match="boom"):
        await actor.run()


async def test_a_control_mailbox_that_nobody_empties_fails_its_actor() -> None:
    actor = Recorder(size=2)
    for message in "abc":
        actor.tell(message)
    with pytest.raises(MailboxFullError):
        await actor.run()
    assert actor.handled == []


async def test_an_audio_mailbox_that_nobody_empties_drops_the_oldest() -> None:
    actor = Recorder(size=2, overflow=Overflow.DROP_OLDEST)
    for message in "abcd":
        actor.tell(message)
    async with asyncio.TaskGroup() as group:
        await running(actor, group)
        actor.stop()
    assert (actor.handled, actor.mailbox.dropped) == (["c", "d"], 2)


async def test_a_cancellation_from_above_is_not_swallowed() -> None:
    actor = Recorder()
    task = asyncio.ensure_future(actor.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_cancellation_from_above_wins_over_a_stop_of_the_same_moment() -> None:
    actor = Recorder()
    task = asyncio.ensure_future(actor.run())
    await asyncio.sleep(0)
    actor.stop()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_does_not_leave_a_cancellation_behind_for_the_caller_of_run() -> None:
    actor = Recorder()

    async def supervise() -> str:
        await actor.run()
        await asyncio.sleep(0)
        return "went on"

    task = asyncio.ensure_future(supervise())
    await asyncio.sleep(0)
    actor.stop()
    assert await task == "went on"
    assert task.cancelling() == 0


async def test_a_life_that_returns_ends_the_actor() -> None:
    class Short(Recorder):
        async def live(self) -> None:
            await asyncio.sleep(5)

    actor = Short()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await actor.run()
    assert loop.time() - began_s == pytest.approx(5)
    actor.tell("late")
    assert actor.late == 1


async def test_a_life_that_fails_leaves_through_run() -> None:
    class Broken(Recorder):
        async def live(self) -> None:
            raise KeyError("x")

    with pytest.raises(KeyError):
        await Broken().run()


# The clock of these tests.


async def test_the_virtual_clock_jumps_over_what_nobody_does_anything_in() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    began_s = loop.time()
    await asyncio.sleep(3600)
    assert loop.time() - began_s == pytest.approx(3600)


def test_a_wait_that_nothing_can_end_fails_instead_of_hanging() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    loop = VirtualTimeLoop()
    task = loop.create_task(wait())
    with pytest.raises(NothingWillHappen):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
