"""What was refused: counted always, written down as often as somebody can read it.

A flood of refused requests must not become a flood of log lines, which cost money and the time of other calls. Each reason
has a pace of its own, so that one attack does not hide another; what was left out is told by the next line (`unlogged`).
"""

import time
from collections.abc import Callable
from typing import Literal

from structlog.typing import FilteringBoundLogger

from callbot.server.limits.buckets import TokenBucket
from callbot.server.metrics import ServerMetrics

RefusalKind = Literal["connection", "webhook", "stream"]

BURST_S = 10.0  # so many seconds' lines at once: the first of an attack are the ones that tell


class RefusalBook:
    """One log line and one count for what was refused; a reason is one of our own words, so reasons are few."""

    def __init__(
        self,
        metrics: ServerMetrics,
        log: FilteringBoundLogger,
        lines_per_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._lines_per_s = lines_per_s
        self._clock = clock
        self._paces: dict[tuple[RefusalKind, str], TokenBucket] = {}
        self._unlogged: dict[tuple[RefusalKind, str], int] = {}

    def note(self, kind: RefusalKind, reason: str, **context: str | int) -> None:
        """Something was refused; `context` holds nothing that a stranger has written."""
        of = (kind, str(reason))
        self._metrics.refusals.labels(*of).inc()
        pace = self._paces.get(of)
        if pace is None:
            pace = self._paces[of] = TokenBucket(self._lines_per_s, self._lines_per_s * BURST_S, self._clock)
        if not pace.take():
            self._unlogged[of] = self._unlogged.get(of, 0) + 1
            return
        if unlogged := self._unlogged.pop(of, 0):
            context["unlogged"] = unlogged
        self._log.warning(f"{kind}.refused", reason=of[1], **context)
