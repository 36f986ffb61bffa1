"""Whether Redis is asked: it is up after a write that worked, down after a failed probe or three failed questions in a row."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from callbot.store.memory import REMEMBER_S

if TYPE_CHECKING:
    from callbot.store.redis_link import RedisLink
    from callbot.store.sealing import Sealer

FAILURES: Final = 3  # in a row; one alone may be a failover
PROBE_EVERY_S: Final = 2.0  # so that an outage shows when there are no calls
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
STEADY_S: Final = 60.0  # an outage sooner than this after the one before goes on with its pauses
LOADING_S: Final = 5.0  # for redis-py to be loaded, when a call comes in the first second


class UnreachableError(Exception):
    """Redis is down, did not answer, or answered wrongly."""


class RedisClient:
    """One Redis, and what is known of its state. `on_up` is called each time that it has come up again."""

    def __init__(
        self,
        url: str,
        seal_texts: Sequence[str],
        *,
        log: FilteringBoundLogger,
        timeout_s: float,
        clock: Callable[[], float],
        on_up: Callable[[], None],
    ) -> None:
        self._url = url
        self._seal_texts = seal_texts
        self._log = log
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_up = on_up
        self._link: RedisLink | None = None
        self._sealer: Sealer | None = None
        self._loaded = asyncio.Event()
        self._failures = 0
        self._down_since_s: float | None = None
        self._up_since_s = clock() - STEADY_S
        self._pause_s = RETRY_MIN_S
        self._doubt = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Whether Redis is asked."""
        return self._down_since_s is None

    async def ask[Answer](self, question: Callable[["RedisLink"], Awaitable[Answer]]) -> Answer:
        """Redis' answer; raises `UnreachableError`, at once while it is known to be down."""
        if self.is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOADING_S):
                    await self._loaded.wait()
        if self._link is None or not self.is_up:
            raise UnreachableError
        from callbot.store.redis_link import StoreFault  # loaded by now

        try:
            answer = await question(self._link)
        except StoreFault as fault:
            self._failures += 1
            self._doubt.set()
            if self._failures >= FAILURES:
                self._went_down(fault.cause)
            raise UnreachableError from fault
        self._failures = 0
        return answer

    def sealed(self, call_sid: str, record: bytes) -> bytes:
        """The record as Redis may see it. Only inside `ask`."""
        assert self._sealer is not None, "loaded with the link"  # noqa: S101 - the type checker's
        return self._sealer.seal(call_sid, record)

    def opened(self, call_sid: str, sealed: bytes) -> bytes | None:
        """The record that Redis holds; None when it was sealed with another key, for another call, or changed."""
        from callbot.store.sealing import SealError

        assert self._sealer is not None, "loaded with the link"  # noqa: S101 - the type checker's
        try:
            return self._sealer.open(call_sid, sealed)
        except SealError:
            return None

    async def watch(self) -> None:
        """Probe Redis as long as the store lives, more often when there is reason to."""
        if not self._loaded.is_set():
            await self._load()
        while True:
            was_up = self.is_up
            if was_up:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY_S):
                        await self._doubt.wait()
            else:
                await asyncio.sleep(self._pause_s * random.uniform(0.8, 1.2))
                self._pause_s = min(2 * self._pause_s, RETRY_MAX_S)
            self._doubt.clear()
            if self.is_up is was_up:  # else what raised the doubt has settled it
                await self._probe()

    async def close(self) -> None:
        """Close the connections."""
        if self._link is not None:
            from callbot.store.redis_link import StoreFault

            with contextlib.suppress(StoreFault):
                await self._link.close()

    async def _load(self) -> None:
        """Load redis-py beside the loop, and see at once whether Redis is there."""

        def make() -> "tuple[RedisLink, Sealer]":
            from callbot.store.redis_link import RedisLink
            from callbot.store.sealing import Sealer

            return RedisLink(self._url, timeout_s=self._timeout_s, keep_s=REMEMBER_S), Sealer(self._seal_texts)

        try:
            self._link, self._sealer = await asyncio.to_thread(make)
            await self._probe()
        except Exception as error:  # noqa: BLE001 - its text may quote the address, and with it the password
            self._went_down(type(error).__name__)
        finally:
            self._loaded.set()

    async def _probe(self) -> None:
        if self._link is None:
            return
        from callbot.store.redis_link import StoreFault

        was_down_since_s = self._down_since_s
        try:
            await self._link.probe()
        except StoreFault as fault:
            self._went_down(fault.cause)
        else:
            if self._down_since_s == was_down_since_s:  # what has failed since it was asked says more
                self._came_up()

    def _went_down(self, cause: str) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._clock()
            if self._down_since_s - self._up_since_s >= STEADY_S:
                self._pause_s = RETRY_MIN_S
            self._log.warning("store.down", cause=cause)

    def _came_up(self) -> None:
        if self._down_since_s is None:
            return
        self._failures = 0
        self._log.warning("store.up", after_s=round(self._clock() - self._down_since_s, 1))
        self._down_since_s = None
        self._up_since_s = self._clock()
        self._on_up()
