"""One GeminiSession between a scripted model and everybody whom it tells."""

import asyncio
import math
import struct
from typing import Any

from callbot.actors.gemini_session import GeminiSession
from callbot.actors.signs import LifeSigns
from callbot.actors.uplink import Uplink
from callbot.brief import Brief
from callbot.effects import OpenSession
from callbot.gemini.session_config import SessionOrder
from callbot.messages.call import CallMessage
from callbot.messages.children import TranscoderMessage
from callbot.messages.session import SessionLost, SessionReady
from callbot.messages.terms import Plan
from tests.actors.network_edges import Model, ModelSocket

VOICE = struct.pack("<480h", *(round(8000 * math.sin(n / 9)) for n in range(480)))
FRAME = bytes(640)


class Room:
    """One session with all that it needs around it."""

    def __init__(
        self, model: Model | None = None, *, session_no: int = 1, delay_s: float = 0.0, uplink: Uplink | None = None
    ) -> None:
        self.model = model or Model()
        self.uplink = uplink or Uplink(cap_s=30)
        self.signs = LifeSigns()
        self.told: list[CallMessage] = []
        self.audio: list[TranscoderMessage] = []
        self.loop = asyncio.get_running_loop()
        self.began_s = self.loop.time()
        self.session = GeminiSession(
            opening=OpenSession(session_no, Plan.NEW, 0, 1),
            order=SessionOrder("CA1", Brief()),
            opener=self.model,
            uplink=self.uplink,
            signs=self.signs,
            parent=self.told.append,
            transcoder=self.audio.append,
            clock=self.loop.time,
            wall_clock=self.loop.time,
            max_message_ms=100,
            delay_s=delay_s,
        )
        self.task = asyncio.ensure_future(self.session.run())

    @property
    def link(self) -> ModelSocket:
        return self.model.links[-1]

    async def ready(self) -> "Room":
        await asyncio.sleep(1)
        assert isinstance(self.told[0], SessionReady)
        return self

    async def ended(self) -> SessionLost:
        await self.task
        lost = self.told[-1]
        assert isinstance(lost, SessionLost)
        assert sum(isinstance(message, SessionLost) for message in self.told) == 1
        assert self.model.open_links == 0, "the loss was told before the socket was gone"
        return lost

    def tell(self, *messages: Any) -> None:
        for message in messages:
            self.session.tell(message)
