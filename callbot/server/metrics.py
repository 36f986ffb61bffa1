"""The server's counters: what was answered, what was refused and why, how many calls are live."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class ServerMetrics:
    """Counters in `registry`, which `/metrics` renders whole. Labels are our own words, never a caller's."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.webhooks = Counter(
            "callbot_webhooks", "Webhooks answered, by path and kind of answer", ("path", "answer"), registry=self.registry
        )
        self.refusals = Counter(
            "callbot_refusals", "Webhooks and streams refused, by kind and reason", ("kind", "reason"), registry=self.registry
        )
        self.crashes = Counter("callbot_call_crashes", "Calls ended by a fault of our own", registry=self.registry)
        self._calls = Gauge("callbot_calls_live", "Calls that this process carries", registry=self.registry)
        self._pending = Gauge("callbot_streams_pending", "Accepted sockets that have shown no token", registry=self.registry)
        self._draining = Gauge("callbot_draining", "1 while the process stops", registry=self.registry)

    def watch(self, live: Callable[[], int], pending: Callable[[], int], draining: Callable[[], bool]) -> None:
        """Where the gauges are read from when they are asked for."""
        self._calls.set_function(live)
        self._pending.set_function(pending)
        self._draining.set_function(draining)
