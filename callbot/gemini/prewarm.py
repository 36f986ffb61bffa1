"""Model sessions that are opened when the webhook is answered, so that the first words come sooner.

Between the answer to `/twiml` and the stream's `start` lie the time that Twilio takes and the connection's own handshakes:
the session is opened meanwhile. It is bound to its CallSid and handed out once, to the call whose stream has shown its token;
what nobody takes in time is closed. There is a limit, because a webhook costs a caller nothing and a session counts against
the quota. Everything that can go wrong here ends in "none", and the call opens a session as it would have without.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from callbot.brief import Brief
from callbot.gemini.failures import classify
from callbot.gemini.link import ModelLink, SessionOpener
from callbot.gemini.session_config import SessionOrder

_CLOSE_TIMEOUT_S: Final = 1.0


@dataclass(eq=False, slots=True)
class _Prepared:
    """One session on its way, or waiting. `ready` gives the link, or None; `taken` says what becomes of it."""

    ready: asyncio.Future[ModelLink | None]
    taken: asyncio.Future[bool]
    wanted: bool = False
    limit: asyncio.Timeout | None = None


class Prewarmer:
    """A `SessionOpener` that has opened some sessions already: a call's first is the one that waits for it, if there is one.

    The sessions that wait are kept by tasks in `tasks`, which `stop` ends. They are opened by `brief`, and taken by calls
    of the same brief only.
    `keep_s` limits a session's time from the webhook to its stream, opening included; `max_waiting` how many there are.
    """

    def __init__(
        self, opener: SessionOpener, tasks: asyncio.TaskGroup, *, brief: Brief, keep_s: float, max_waiting: int, log: Any
    ) -> None:
        self._opener = opener
        self._brief = brief
        self._tasks = tasks
        self._keep_s = keep_s
        self._max_waiting = max_waiting
        self._log = log
        self._waiting: dict[str, _Prepared] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Close what waits, and prepare nothing more."""
        self._stopped = True
        for keeper in self._keepers:
            keeper.cancel()

    def prepare(self, call_sid: str) -> None:
        """Begin to open this call's session. Never waits; does nothing beyond the limit, or when one is there."""
        if self._stopped or call_sid in self._waiting or len(self._waiting) >= self._max_waiting:
            return
        loop = asyncio.get_running_loop()
        prepared = self._waiting[call_sid] = _Prepared(loop.create_future(), loop.create_future())
        keeper = self._tasks.create_task(self._keep(call_sid, prepared), name="prewarm")
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)

    async def open(self, order: SessionOrder) -> ModelLink:
        """See `SessionOpener.open`."""
        if order.is_first and order.handle is None and not order.history and not order.without:
            link = await self.take(order.call_sid, order.brief)
            if link is not None:
                return link
        return await self._opener.open(order)

    async def take(self, call_sid: str, brief: Brief) -> ModelLink | None:
        """This call's session, once: open already or in a moment. None when there is none that is of use."""
        prepared = self._waiting.pop(call_sid, None)
        if prepared is None:
            return None
        if brief != self._brief:
            _decide(prepared, taken=False)
            return None
        prepared.wanted = True
        if prepared.limit is not None:
            prepared.limit.reschedule(None)  # the opening has its own
        try:
            link = await asyncio.shield(prepared.ready)
        except asyncio.CancelledError:
            _decide(prepared, taken=False)
            raise
        usable = link is not None and link.is_open
        _decide(prepared, taken=usable)
        return link if usable else None

    async def _keep(self, call_sid: str, prepared: _Prepared) -> None:
        """Open, and wait until it is known what becomes of the session."""
        link: ModelLink | None = None
        try:
            async with asyncio.timeout(None if prepared.wanted else self._keep_s) as prepared.limit:
                link = await self._opener.open(SessionOrder(call_sid, self._brief))
                prepared.ready.set_result(link)
                await asyncio.shield(prepared.taken)
        except Exception as error:  # noqa: BLE001 - the call will open one itself, and meet the same fault where it counts
            if link is not None:
                self._log.info("session.prewarm_unused", call_sid=call_sid)
            else:
                cause = classify(error, opened=False).cause
                self._log.warning("session.prewarm_failed", call_sid=call_sid, cause=cause)
        finally:
            if self._waiting.get(call_sid) is prepared:
                del self._waiting[call_sid]
            if not prepared.ready.done():
                prepared.ready.set_result(None)
            if link is not None and not (prepared.taken.done() and prepared.taken.result()):
                await link.close(_CLOSE_TIMEOUT_S)


def _decide(prepared: _Prepared, *, taken: bool) -> None:
    if not prepared.taken.done():
        prepared.taken.set_result(taken)
