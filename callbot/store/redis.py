"""The store that several processes share: Redis or Valkey, one server or a cluster.

What a reader of this Redis sees: CallSids, when a token ends, how a stream ended, and a sealed record (see `sealing`), for four
hours. No token (see `tokens`), no number, word, handle or audio. A writer could keep calls from being answered, or void tokens;
he cannot make one, nor a record.

A call never waits long for Redis, and none is lost because Redis is: whatever goes wrong with it, this process's memory answers
instead, and after three failures in a row, or one failed probe, it is asked nothing until a write to it has worked. Then it is
told what it does not know.
"""

import asyncio
import contextlib
import itertools
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from callbot.messages.terms import Ending
from callbot.store.memory import MAX_CALLS, MemoryCallStore
from callbot.store.protocol import Lease, Minted, MintOutcome, Shown, StreamGrant, TokenOutcome
from callbot.store.redis_client import RedisClient, UnreachableError
from callbot.store.tokens import StreamTokens

if TYPE_CHECKING:
    from callbot.store.redis_link import Kept, RedisLink, Written

FAULT_PAUSE_S: Final = 1.0
SAVE_EVERY_S: Final = 0.5  # for each call
MAX_RECORD_BYTES: Final = 256 << 10
# An ending is written behind, and Twilio asks for it a round trip after the close: what is not there yet may come now.
LATE_ENDING_S: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """What Redis has not been told about a call; its record is in memory."""

    stream_no: int
    version: int
    due_s: float
    ending: Ending | None = None
    over: bool = False


class RedisCallStore:
    """A `CallStore` in Redis. `start` before the first request, `stop` after the last.

    `secret_texts` are what the processes share and Redis does not know; records are sealed with `state_key`, or with
    `secret_texts` when there is none. `timeout_s` limits each question to Redis.
    """

    def __init__(
        self,
        url: str,
        secret_texts: Sequence[str],
        *,
        log: FilteringBoundLogger,
        state_key: str = "",
        timeout_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        max_unwritten: int = MAX_CALLS,
    ) -> None:
        self._tokens = StreamTokens(secret_texts)
        self._log = log
        self._timeout_s = timeout_s
        seal_texts = (state_key,) if state_key else tuple(secret_texts)
        self._client = RedisClient(url, seal_texts, log=log, timeout_s=timeout_s, clock=clock, on_up=self._tell_everything)
        self._clock = clock
        self._wall_clock = wall_clock
        self._max_unwritten = max_unwritten
        self._local = MemoryCallStore(clock, secret_texts, wall_clock=wall_clock)
        self._unwritten: OrderedDict[str, _Change] = OrderedDict()
        self._wake = asyncio.Event()
        self._told: OrderedDict[str, float] = OrderedDict()  # when Redis was told of a call
        self._versions = itertools.count(1)
        self._claims = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
        self._running: list[asyncio.Task[None]] = []

    @property
    def is_up(self) -> bool:
        """Whether Redis is asked."""
        return self._client.is_up

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Connect, and keep what must be told to Redis going; nothing waits for it, and it never ends `tasks`."""
        works = (self._client.watch, self._write_behind)
        self._running = [tasks.create_task(self._keep_on(work), name="store") for work in works]

    async def _keep_on(self, work: Callable[[], Awaitable[None]]) -> None:
        """A mistake of ours in the background costs a line, not the process."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                self._log.error("store.fault", work=work.__name__, error=type(error).__name__)
            await asyncio.sleep(FAULT_PAUSE_S)

    async def stop(self) -> None:
        """Tell Redis what it does not know yet, within the time of one question, and let go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                for _ in range(len(self._unwritten)):
                    await self._write_next(math.inf)
        if self._unwritten:
            self._log.warning("store.unwritten", calls=len(self._unwritten))
        for task in self._running:
            task.cancel()
        await self._client.close()

    # --- tokens --------------------------------------------------------------------------------------------------------

    async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
        """See `CallStore.mint`."""
        nonce, until_s = self._tokens.new_nonce(), self._wall_clock() + ttl_s
        try:
            outcome, kept, ends_s = await self._client.ask(
                lambda link: link.mint(grant.call_sid, grant.stream_no, nonce, until_s)
            )
        except UnreachableError:
            return await self._local.mint(grant, ttl_s)
        left_s = ends_s - self._wall_clock()
        if outcome is MintOutcome.SPENT or left_s <= 0:
            return Minted(MintOutcome.SPENT)
        token = self._tokens.text(grant, ends_s, kept)
        self._local.remember(grant, token, left_s)  # should Redis go down now, a repeated webhook gets the same one
        return Minted(outcome, token)

    async def consume(self, token: str, *, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        """See `CallStore.consume`. While Redis is down a token is good once in each process."""
        parts = self._tokens.read(token)
        refusal = self._local.refusal(parts, token, call_sid=call_sid, account_sid=account_sid, stream_no=stream_no)
        if refusal is not None or parts is None:
            return Shown(refusal or TokenOutcome.UNKNOWN)
        claim = next(self._claims)
        try:
            outcome, is_told = await self._client.ask(lambda link: link.claim(call_sid, stream_no, claim)), True
        except UnreachableError:
            outcome, is_told = TokenOutcome.ACCEPTED, False
        if outcome is not TokenOutcome.ACCEPTED:
            return Shown(outcome)
        if not self._take_over(call_sid, stream_no, is_told=is_told):  # it was shown twice, and Redis answered one of the two
            return Shown(TokenOutcome.USED)
        return Shown(outcome, parts.grant)

    # --- what a stream leaves ------------------------------------------------------------------------------------------

    def record_ending(self, call_sid: str, ending: Ending) -> None:
        """See `CallStore.record_ending`. The newest waits for Redis, the older ones are gone."""
        self._local.record_ending(call_sid, ending)
        self._write_later(call_sid, self._local.stream_no(call_sid), ending=ending)

    async def ending(self, call_sid: str) -> Ending | None:
        """See `CallStore.ending`."""
        found = await self._ending_now(call_sid)
        if found is None and self.is_up:
            await asyncio.sleep(LATE_ENDING_S)
            found = await self._ending_now(call_sid)
        return found

    async def forget(self, call_sid: str) -> None:
        """See `CallStore.forget`."""
        await self._local.forget(call_sid)
        self._unwritten.pop(call_sid, None)
        try:
            await self._client.ask(lambda link: link.forget(call_sid))
        except UnreachableError:
            self._write_later(call_sid, 0, over=True)

    async def load(self, call_sid: str) -> bytes | None:
        """See `ConversationStore.load`."""
        try:
            kept = await self._client.ask(lambda link: link.load(call_sid))
        except UnreachableError:
            return await self._local.load(call_sid)
        return await self._newer(call_sid, kept)

    def save(self, call_sid: str, stream_no: int, record: bytes) -> bool:
        """See `ConversationStore.save`. Redis is told of the newest only, and of each call at most twice a second."""
        if len(record) > MAX_RECORD_BYTES:
            self._log.warning("store.record_too_large", call_sid=call_sid, bytes=len(record))
            return False
        if not self._local.save(call_sid, stream_no, record):
            return False
        self._write_later(call_sid, stream_no)
        return True

    async def lease(self, call_sid: str, stream_no: int) -> Lease:
        """See `ConversationStore.lease`."""
        try:
            kept = await self._client.ask(lambda link: link.lease(call_sid, stream_no))
        except UnreachableError:
            self._take_over(call_sid, stream_no, is_told=False)
            return await self._local.lease(call_sid, stream_no)
        if kept.stream_no != stream_no:
            return Lease(held=False)
        record = await self._newer(call_sid, kept)
        self._take_over(call_sid, stream_no, is_told=True)
        lease = await self._local.lease(call_sid, stream_no)
        return Lease(lease.held, record if lease.held else None)

    async def _newer(self, call_sid: str, kept: "Kept") -> bytes | None:
        """The record of Redis, or this process's where its stream is as new: Redis may not have been told."""
        here = await self._local.load(call_sid)
        if (here is not None and self._local.stream_no(call_sid) >= kept.stream_no) or not kept.record:
            return here
        record = self._client.opened(call_sid, kept.record)
        if record is None:
            self._log.warning("store.record_unreadable", call_sid=call_sid)  # sealed with another key, or changed
        return record

    async def _ending_now(self, call_sid: str) -> Ending | None:
        waiting = self._unwritten.get(call_sid)
        if waiting is not None:
            return waiting.ending
        try:
            return await self._client.ask(lambda link: link.ending(call_sid))
        except UnreachableError:
            return await self._local.ending(call_sid)

    def _take_over(self, call_sid: str, stream_no: int, *, is_told: bool) -> bool:
        """The stream owns its call; what waits of the one before is void. Redis is told, if it does not know."""
        if not self._local.let_in(call_sid, stream_no):
            return False
        self._unwritten.pop(call_sid, None)
        if is_told:
            self._note_told(call_sid, -math.inf)
        else:
            self._write_later(call_sid, stream_no)  # or a replayed webhook gets a token once Redis is back
        return True

    # --- writing behind ------------------------------------------------------------------------------------------------

    def _write_later(self, call_sid: str, stream_no: int, *, ending: Ending | None = None, over: bool = False) -> None:
        before = self._unwritten.get(call_sid)
        due_s = self._clock()
        if ending is None and not over:
            due_s = max(due_s, self._told.get(call_sid, -SAVE_EVERY_S) + SAVE_EVERY_S)
        if before is not None and before.stream_no == stream_no:
            due_s = min(due_s, before.due_s)
            ending = ending or before.ending
        self._unwritten[call_sid] = _Change(stream_no, next(self._versions), due_s, ending, over)
        self._unwritten.move_to_end(call_sid)
        while len(self._unwritten) > self._max_unwritten:
            self._unwritten.popitem(last=False)
        self._wake.set()

    async def _write_behind(self) -> None:
        while True:
            self._wake.clear()
            if self.is_up and await self._write_next(self._clock()):
                continue
            dues = [change.due_s for change in self._unwritten.values()] if self.is_up else []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(dues) - self._clock()) if dues else None):
                    await self._wake.wait()

    async def _write_next(self, until_s: float) -> bool:
        """Tell Redis of one call that is due; False when there is none."""
        due = next(((sid, change) for sid, change in self._unwritten.items() if change.due_s <= until_s), None)
        if due is None:
            return False
        call_sid, change = due
        record = b"" if change.over else await self._local.load(call_sid) or b""
        try:
            await self._client.ask(lambda link: self._tell(link, call_sid, change, record))
        except UnreachableError:
            if self._unwritten.get(call_sid) is change:  # the others first
                self._unwritten[call_sid] = replace(change, due_s=self._clock() + FAULT_PAUSE_S)
                self._unwritten.move_to_end(call_sid)
            return True
        if self._unwritten.get(call_sid) is change:
            del self._unwritten[call_sid]
        return True

    async def _tell(self, link: "RedisLink", call_sid: str, change: _Change, record: bytes) -> None:
        from callbot.store.redis_link import WriteOutcome

        if change.over:
            await link.forget(call_sid)
            return
        sealed = self._client.sealed(call_sid, record) if record else b""
        was_told = self._told.get(call_sid)
        self._note_told(call_sid, self._clock())  # what is saved from here on waits its time
        written: Written | None = None
        try:
            written = await link.write(call_sid, change.stream_no, change.version, change.ending, sealed)
        finally:
            if written is None and was_told is None:  # a fault or a cancellation: Redis may know nothing of the call
                self._told.pop(call_sid, None)
        match written.outcome:
            case WriteOutcome.CREATED if was_told is not None:  # it has lost what it knew: a restart, a failover
                self._log.warning("store.lost", call_sid=call_sid)
                self._tell_everything(but=call_sid)
            case WriteOutcome.LATE:
                self._log.info("store.overtaken", call_sid=call_sid, stream_no=change.stream_no, newest=written.newest)
                self._local.overtaken(call_sid, written.newest)
            case WriteOutcome.OVER:
                await self._local.forget(call_sid)
            case WriteOutcome.WRITTEN | WriteOutcome.CREATED:
                pass

    def _note_told(self, call_sid: str, at_s: float) -> None:
        self._told[call_sid] = at_s
        self._told.move_to_end(call_sid)
        while len(self._told) > MAX_CALLS:
            self._told.popitem(last=False)

    def _tell_everything(self, but: str = "") -> None:
        """Redis may have lost all of it; the calls touched last come first."""
        self._told.clear()
        for owned in self._local.owned():
            if owned.call_sid != but and owned.call_sid not in self._unwritten:
                self._write_later(owned.call_sid, owned.stream_no, ending=owned.ending, over=owned.over)
        self._wake.set()
