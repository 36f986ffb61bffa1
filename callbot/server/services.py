"""What the routes work with: handed over once, when the app is made."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import structlog
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from callbot.actors.ports import CallFactory
from callbot.server.callers import CallerLists
from callbot.server.calls import CallRegistry
from callbot.server.limits import CallerRate
from callbot.server.metrics import ServerMetrics
from callbot.server.signature import SignatureCheck
from callbot.settings import Settings
from callbot.store.memory import MemoryCallStore
from callbot.store.protocol import CallStore

BODY_TIMEOUT_S = 5.0  # for a request's body; a webhook of Twilio's has 15 s for everything
REFUSED_EVENTS = {"webhook": "webhook.refused", "stream": "stream.refused"}


def prepare_nothing(call_sid: str) -> None:
    """No session is opened before its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerServices:
    """The parts that the routes share. `clock` is monotonic seconds; `on_webhook` hears the CallSid of a new call once its
    answer is ready, and must not wait.
    """

    settings: Settings
    call_factory: CallFactory
    store: CallStore
    signatures: SignatureCheck
    callers: CallerLists
    caller_rate: CallerRate
    registry: CallRegistry
    metrics: ServerMetrics
    log: FilteringBoundLogger
    clock: Callable[[], float] = time.monotonic
    on_webhook: Callable[[str], None] = prepare_nothing
    body_timeout_s: float = BODY_TIMEOUT_S

    def note_refusal(self, kind: Literal["webhook", "stream"], reason: str, **context: str | int) -> None:
        """One log line and one count for what was refused; `reason` is one of our own words."""
        self.metrics.refusals.labels(kind, str(reason)).inc()
        self.log.warning(REFUSED_EVENTS[kind], reason=str(reason), **context)

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
        body_timeout_s: float = BODY_TIMEOUT_S,
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
            registry=registry,
            metrics=metrics,
            log=log,
            clock=clock,
            on_webhook=on_webhook,
            body_timeout_s=body_timeout_s,
        )
