"""What all sessions of one stand-in have in common."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .clock import WallClock
from .faults import FaultScript
from .options import StandInOptions
from .records import Changes
from .resumption import HandleBook, Refusal

if TYPE_CHECKING:
    from .session import LiveSession


class ServerState:
    """Options, time, handles, the fault script, and every session so far."""

    def __init__(self, options: StandInOptions) -> None:
        self.options = options
        self.seed = options.seed
        self.clock = WallClock(options.time_scale)
        self.changes = Changes()
        self.script = FaultScript(options.faults)
        self.handles = HandleBook(seed=options.seed, valid_s=options.handle_valid_s, forgetful=options.forget_on_resume)
        self.handle_refusal: Refusal | None = None  # for every handle, if set
        self.sessions: list[LiveSession] = []

    def sessions_of(self, lineage: int | None) -> "Iterator[LiveSession]":
        """Yield the connections of one logical session; none for a handle that belongs to none."""
        return (session for session in self.sessions if lineage is not None and session.lineage == lineage)

    def admits(self, credential: str | None, path: str) -> bool:
        """Whether this key or token is good."""
        keys = self.options.keys
        if keys is not None:
            return credential in keys
        # Without a project the SDK connects to the base URL as it is and sends no credentials at all.
        return credential is not None or urlsplit(path).path in {"", "/"}
