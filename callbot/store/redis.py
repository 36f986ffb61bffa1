"""The store that several processes share: Redis, or Valkey.

What a reader of this Redis sees: CallSids, the account, callers masked, when a stream began and how it ended, for four hours.
No token (see `tokens`), no transcript, no handle, no audio. A writer could keep calls from being answered, or void tokens;
he cannot make one. So an address without a password opens nothing, and a password is still right.

A call never waits long for Redis, and none is lost because Redis is: after three failures in a row it is left alone and
tried behind the scenes. Meanwhile this process's memory takes its place. A stream that comes to the process that answered
its webhook is carried as ever; one that comes to another process is refused, because only Redis could say that its token
has not been used, and Twilio asks `/twiml/next` for another one.
"""

import asyncio
import contextlib
import functools
import itertools
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from callbot.messages import Ending
from callbot.store.memory import MAX_CALLS, REMEMBER_S, MemoryCallStore
from callbot.store.protocol import Minted, MintOutcome, Shown, StreamGrant, TokenOutcome
from callbot.store.tokens import StreamTokens

if TYPE_CHECKING:
    from callbot.store.redis_link import RedisLink

FAILURES: Final = 3  # in a row; one alone may be a failover
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 5.0
LOADING_S: Final = 5.0  # for redis-py to be loaded, when a call comes in the first second
# An ending is written behind, and Twilio asks for it a round trip after the close: what is not there yet may come now.
LATE_ENDING_S: Final = 0.1


class _UnreachableError(Exception):
    """Redis is down, or did not answer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Note:
    """What Redis has not been told about a call."""

    stream_no: int
    ending: Ending | None = None
    over: bool = False


class RedisCallStore:
    """A `CallStore` in Redis. `start` before the first request, `stop` after the last.

    `secret_texts` are what the processes share and Redis does not know; `timeout_s` limits each question to Redis.
    """

    def __init__(
        self,
        url: str,
        secret_texts: Sequence[str],
        *,
        log: FilteringBoundLogger,
        timeout_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        max_unwritten: int = MAX_CALLS,
    ) -> None:
        self._url = url
        self._tokens = StreamTokens(secret_texts)
        self._log = log
        self._timeout_s = timeout_s
        self._clock = clock
        self._max_unwritten = max_unwritten
        self._local = MemoryCallStore(clock)
        self._link: RedisLink | None = None
        self._loaded = asyncio.Event()
        self._failures = 0
        self._down_since_s: float | None = None
        self._down = asyncio.Event()
        self._unwritten: OrderedDict[str, _Note] = OrderedDict()
        self._wake = asyncio.Event()
        self._streams: OrderedDict[str, int] = OrderedDict()  # the stream_no that was let in here, by call
        self._claims = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
        self._running: list[asyncio.Task[None]] = []

    @property
    def is_up(self) -> bool:
        """Whether Redis is asked."""
        return self._down_since_s is None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Connect, and keep what must be told to Redis going; nothing waits for it."""
        self._running = [tasks.create_task(work(), name="store") for work in (self._load, self._write_behind, self._try_again)]

    async def stop(self) -> None:
        """Tell Redis what it does not know yet, within the time of one question, and let go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await self._write_all()
        if self._unwritten:
            self._log.warning("store.unwritten", calls=len(self._unwritten))
        for task in self._running:
            task.cancel()
        if self._link is not None:
            await self._link.close()

    # --- CallStore -----------------------------------------------------------------------------------------------------

    async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
        """See `CallStore.mint`. While Redis is down the token is one of this process's."""
        nonce = self._tokens.new_nonce()
        try:
            outcome, kept = await self._ask(lambda link: link.mint(grant, nonce, ttl_s))
        except _UnreachableError:
            return await self._local.mint(grant, ttl_s)
        if outcome is MintOutcome.SPENT:
            return Minted(outcome)
        return Minted(outcome, self._tokens.text(grant.call_sid, grant.stream_no, kept))

    async def consume(self, token: str, *, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        """See `CallStore.consume`. Redis also refuses a token of an older stream than the newest that was let in."""
        parts = self._tokens.read(token)
        if parts is None:  # one of this process's, from a time without Redis, or nobody's
            return await self._consume_here(token, call_sid, account_sid, stream_no)
        if (parts.call_sid, parts.stream_no) != (call_sid, stream_no):
            return Shown(TokenOutcome.WRONG_CALL)
        claim = next(self._claims)
        try:
            outcome, caller = await self._ask(lambda link: link.claim(call_sid, account_sid, stream_no, parts.nonce, claim))
        except _UnreachableError:
            return Shown(TokenOutcome.UNREACHABLE)
        if outcome is not TokenOutcome.ACCEPTED:
            return Shown(outcome)
        grant = StreamGrant(call_sid, account_sid, stream_no, caller)
        # Should Redis go down now, a replayed webhook still opens nothing here.
        local = await self._local.mint(grant, REMEMBER_S)
        await self._local.consume(local.token, call_sid=call_sid, account_sid=account_sid, stream_no=stream_no)
        self._let_in(call_sid, stream_no)
        return Shown(outcome, grant)

    def record_ending(self, call_sid: str, ending: Ending) -> None:
        """See `CallStore.record_ending`. The newest waits for Redis, the older ones are gone."""
        self._local.record_ending(call_sid, ending)
        self._write_later(call_sid, _Note(self._streams.get(call_sid, 0), ending))

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
        self._streams.pop(call_sid, None)
        self._unwritten.pop(call_sid, None)
        try:
            await self._ask(lambda link: link.forget(call_sid))
        except _UnreachableError:
            self._write_later(call_sid, _Note(0, over=True))

    # --- here ----------------------------------------------------------------------------------------------------------

    async def _consume_here(self, token: str, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        shown = await self._local.consume(token, call_sid=call_sid, account_sid=account_sid, stream_no=stream_no)
        if shown.outcome is TokenOutcome.ACCEPTED:
            self._let_in(call_sid, stream_no)
            self._write_later(call_sid, _Note(stream_no))  # or a replayed webhook gets a token once Redis is back
        return shown

    async def _ending_now(self, call_sid: str) -> Ending | None:
        waiting = self._unwritten.get(call_sid)
        if waiting is not None:
            return waiting.ending
        try:
            return await self._ask(lambda link: link.ending(call_sid))
        except _UnreachableError:
            return await self._local.ending(call_sid)

    def _let_in(self, call_sid: str, stream_no: int) -> None:
        self._unwritten.pop(call_sid, None)  # how the stream before ended
        self._streams[call_sid] = stream_no
        self._streams.move_to_end(call_sid)
        while len(self._streams) > MAX_CALLS:
            self._streams.popitem(last=False)

    def _write_later(self, call_sid: str, note: _Note) -> None:
        self._unwritten[call_sid] = note
        self._unwritten.move_to_end(call_sid)
        while len(self._unwritten) > self._max_unwritten:
            self._unwritten.popitem(last=False)
        self._wake.set()

    # --- Redis ---------------------------------------------------------------------------------------------------------

    async def _ask[Answer](self, question: Callable[["RedisLink"], Awaitable[Answer]]) -> Answer:
        """Redis' answer; raises `_UnreachableError`, at once while it is known to be down."""
        if not self.is_up:
            raise _UnreachableError
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOADING_S):
                await self._loaded.wait()
        if self._link is None:
            raise _UnreachableError
        from callbot.store.redis_link import StoreFault  # loaded by now

        try:
            answer = await question(self._link)
        except StoreFault as fault:
            self._failures += 1
            if self._failures >= FAILURES:
                self._went_down(fault.cause)
            raise _UnreachableError from fault
        self._failures = 0
        return answer

    def _went_down(self, cause: str) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._clock()
            self._down.set()
            self._log.warning("store.down", cause=cause)

    def _came_up(self) -> None:
        self._failures = 0
        if self._down_since_s is not None:
            self._log.warning("store.up", after_s=round(self._clock() - self._down_since_s, 1), unwritten=len(self._unwritten))
            self._down_since_s = None
            self._down.clear()
        self._wake.set()

    async def _load(self) -> None:
        """Load redis-py beside the loop, and see at once whether Redis is there."""

        def make() -> "RedisLink":
            from callbot.store.redis_link import RedisLink

            return RedisLink(self._url, timeout_s=self._timeout_s, keep_s=REMEMBER_S)

        self._link = await asyncio.to_thread(make)
        if not await self._answers():
            self._failures = FAILURES
        self._loaded.set()

    async def _answers(self) -> bool:
        from callbot.store.redis_link import StoreFault

        assert self._link is not None, "loaded before it is asked"  # noqa: S101 - the type checker's
        try:
            await self._link.ping()
        except StoreFault as fault:
            self._went_down(fault.cause)
            return False
        self._came_up()
        return True

    async def _try_again(self) -> None:
        while True:
            await self._down.wait()
            pause_s = RETRY_MIN_S
            while True:
                await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
                if await self._answers():
                    break
                pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def _write_behind(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write_all()

    async def _write_all(self) -> None:
        """Tell Redis what it does not know; ends when it knows everything, or is down: then `_came_up` wakes us."""
        while self._unwritten and self.is_up:
            call_sid, note = next(iter(self._unwritten.items()))
            try:
                await self._ask(functools.partial(_tell, call_sid=call_sid, note=note))
            except _UnreachableError:
                continue  # three of these, and it is down
            if self._unwritten.get(call_sid) is note:
                del self._unwritten[call_sid]


async def _tell(link: "RedisLink", call_sid: str, note: _Note) -> None:
    if note.over:
        await link.forget(call_sid)
    else:
        await link.note(call_sid, note.stream_no, note.ending)
