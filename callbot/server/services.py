"""What the routes work with: handed over once, when the app is made."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import structlog
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from callbot.actors.ports import CallFactory
from callbot.server.calls.callers import CallerLists
from callbot.server.calls.registry import CallRegistry
from callbot.server.http.signatures import SignatureCheck
from callbot.server.limits.buckets import CallerRate
from callbot.server.limits.newcomers import NewcomerBudget
from callbot.server.limits.refusals import RefusalBook, RefusalKind
from callbot.server.metrics import ServerMetrics
from callbot.settings import Settings
from callbot.store.memory import MemoryCallStore
from callbot.store.protocol import CallStore


def prepare_nothing(call_sid: str) -> None:
    """No session is opened before its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerServices:
    """The parts that the routes share. `clock` is monotonic seconds; `on_webhook` hears the CallSid of a new call once its
    answer is ready, `on_call_over` that of one that Twilio says is over: neither may wait.
    `all_figures` is what /metrics tells when this process's registry is not all.
    """

    settings: Settings
    call_factory: CallFactory
    store: CallStore
    signatures: SignatureCheck
    callers: CallerLists
    caller_rate: CallerRate
    stream_rate: CallerRate  # streams of one call in any minute
    registry: CallRegistry
    metrics: ServerMetrics
    refusals: RefusalBook
    log: FilteringBoundLogger
    newcomers: NewcomerBudget
    clock: Callable[[], float] = time.monotonic
    on_webhook: Callable[[str], None] = prepare_nothing
    on_call_over: Callable[[str], None] = prepare_nothing
    all_figures: Callable[[], Awaitable[bytes]] | None = None

    def note_refusal(self, kind: RefusalKind, reason: str, **context: str | int) -> None:
        """Count what was refused, and write it down; `reason` is one of our own words."""
        self.refusals.note(kind, reason, **context)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        call_factory: CallFactory,
        store: CallStore | None = None,
        log: FilteringBoundLogger | None = None,
        metrics_registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_webhook: Callable[[str], None] = prepare_nothing,
        on_call_over: Callable[[str], None] = prepare_nothing,
        all_figures: Callable[[], Awaitable[bytes]] | None = None,
    ) -> Self:
        """The services that these settings describe. CALLBOT_INSECURE has no effect on Cloud Run."""
        log = structlog.get_logger() if log is None else log
        registry = CallRegistry(settings.max_calls, settings.max_unauthenticated_sockets, log)
        metrics = ServerMetrics(metrics_registry)
        metrics.watch(lambda: registry.live, lambda: registry.pending, lambda: registry.draining)
        return cls(
            settings=settings,
            call_factory=call_factory,
            store=MemoryCallStore(clock) if store is None else store,
            signatures=SignatureCheck(
                settings.service_url,
                settings.twilio_auth_token,
                enabled=not settings.insecure or bool(settings.k_service),
            ),
            callers=CallerLists(settings.allow_callers, settings.deny_callers),
            caller_rate=CallerRate(settings.max_calls_per_caller_per_minute, clock),
            stream_rate=CallerRate(settings.stream_attempts, clock),
            registry=registry,
            metrics=metrics,
            refusals=RefusalBook(metrics, log, settings.refusal_lines_per_s, clock),
            log=log,
            clock=clock,
            on_webhook=on_webhook,
            on_call_over=on_call_over,
            newcomers=NewcomerBudget(settings.newcomer_share, lambda: registry.live > 0, clock),
            all_figures=all_figures,
        )
