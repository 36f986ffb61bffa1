"""What the parts of one call share: who calls whom, how far it has come, and what has happened."""

import asyncio
import contextlib
import datetime as dt
import random
from collections.abc import Coroutine
from typing import Any

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.call_requests import CallIdentity, Document
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.records import CallEnd, Event


class CallState:
    """The call as its instructions, its streams and its script see it.

    `interrupted` is set when the verb that is carried out has to stop: the caller has hung up, or the API has given
    new instructions (`replacement`).
    """

    def __init__(self, identity: CallIdentity, options: CarrierOptions, clock: Clock, rng: random.Random) -> None:
        self.identity = identity
        self.options = options
        self.clock = clock
        self.rng = rng
        self.events: list[Event] = []
        self.verbs: list[twiml.Verb] = []
        self.interrupted = asyncio.Event()
        self.replacement: Document | twiml.Redirect | None = None
        self.end: CallEnd | None = None
        self.answered_s: float | None = None
        self.keys: asyncio.Queue[str] | None = None  # of a <Gather> that collects them

    @property
    def is_over(self) -> bool:
        """Whether nothing can be done to the call any more."""
        return self.end is not None

    def note(self, kind: str, detail: str = "") -> None:
        """Put something that happens now on the timeline."""
        self.tell(self.clock.now(), kind, detail)

    def tell(self, at_s: float, kind: str, detail: str) -> None:
        """Put something on the timeline, at a time of the clock."""
        self.events.append(Event(at_s, kind, detail))

    def debugger(self, code: int, text: str) -> None:
        """Note what Twilio's debugger would say."""
        self.note("debugger", f"{code} {text}")

    def answer(self) -> None:
        """The call is answered, if it has not been."""
        if self.answered_s is None:
            self.answered_s = self.clock.now()
            self.identity.status = "in-progress"
            self.identity.answered = dt.datetime.now(dt.UTC)
            self.note("answered")

    async def sleep(self, for_s: float) -> None:
        """Wait, unless the call is interrupted."""
        await self.unless_interrupted(self.clock.sleep(for_s))

    async def unless_interrupted[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await `work`; an interruption cancels it, and the result is None."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            interruption = tasks.create_task(self.interrupted.wait())
            await asyncio.wait((task, interruption), return_when=asyncio.FIRST_COMPLETED)
            interruption.cancel()
            if not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return task.result()
        return None
