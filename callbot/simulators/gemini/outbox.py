"""The way out of a session: everything it sends passes here, so that silence and repetition have one place."""

from collections.abc import Mapping
from typing import Any

from . import messages
from .connection import WireConnection
from .faults import Withholdable
from .records import Changes, SessionRecord


class Outbox:
    """Sends messages in the session's frame type, unless the session is frozen or withholds the kind."""

    def __init__(self, wire: WireConnection, record: SessionRecord, changes: Changes, *, as_text: bool, mime_type: str) -> None:
        self._wire = wire
        self._record = record
        self._changes = changes
        self._as_text = as_text
        self._mime_type = mime_type
        self.frozen = False
        self.thaws_on_text = False
        self.withheld: set[str] = set()
        self.duplicated: set[str] = set()

    async def send(self, kind: Withholdable, message: bytes) -> bool:
        """Send one message of the protocol; False if it was held back.

        Raises:
            ConnectionClosed: the connection has ended.
        """
        if self.frozen or kind in self.withheld or self._wire.is_unheard:
            return False
        await self._wire.send(message, text=self._as_text)
        self._record.messages_sent += 1
        if kind in self.duplicated:
            await self._wire.send(message, text=self._as_text)
            self._record.messages_sent += 1
        self._changes.notify()
        return True

    async def audio(self, pcm: bytes) -> bool:
        """Send one audio part."""
        return await self.send("audio", messages.audio(pcm, self._mime_type))

    async def content(self, kind: Withholdable, fields: Mapping[str, Any]) -> bool:
        """Send one serverContent message, counted as of this kind."""
        return await self.send(kind, messages.content(**fields))

    async def raw(self, body: bytes | str, as_text: bool | None = None) -> None:
        """Send exactly this, frozen or not."""
        payload = body.encode() if isinstance(body, str) else body
        await self._wire.send(payload, text=self._as_text if as_text is None else as_text)
        self._record.messages_sent += 1
        self._changes.notify()
