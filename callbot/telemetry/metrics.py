"""What a process counts about its calls, for Prometheus.

Labels are our own words and few; a word that came off a wire is counted as `other` once there are many kinds, so that no
peer can fill the registry. What the server counts (webhooks, refusals, live calls) is in `server/metrics.py`; both write
into one registry, which `/metrics` renders whole.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from callbot.actors.call_metrics import CallMetrics
from callbot.telemetry.logs import dropped_lines

# Targets for a turn are 0.8 s (half of them) and 1.5 s (19 of 20): the buckets are finest around these.
LATENCY_BUCKETS_S: Final = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0)
# Opening a session takes some hundred milliseconds; a reconnect is that, and up to the 12 s after which callbot gives up.
SETUP_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 8.0, 12.0)
CALL_BUCKETS_S: Final = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # up to Cloud Run's limit of a request
LAG_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)  # a frame is 0.02 s
QUEUE_BUCKETS_S: Final = (0.02, 0.1, 0.4, 1.0, 3.0, 10.0, 30.0, 120.0)  # a frame, a lead, a pause, a whole answer

MAX_KINDS: Final = 40  # different words a label takes; callbot itself has fewer for each
LAG_INTERVAL_S: Final = 0.1  # often enough to meet a 20 ms stall now and then, seldom enough to cost nothing


class Metrics(CallMetrics):
    """The counters of calls in `registry`, a new one unless given."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry: Final = CollectorRegistry() if registry is None else registry
        self._kinds: dict[str, set[str]] = {}
        self._started = self._counter("callbot_calls_started", "Calls begun")
        self._ended = self._counter("callbot_calls", "Calls ended, by outcome", "outcome")
        self._reasons = self._counter("callbot_call_endings", "Calls ended, by reason", "reason")
        self._duration_s = self._histogram("callbot_call_duration_seconds", "Length of a call", CALL_BUCKETS_S)
        self._turns = self._counter("callbot_turns", "Turns of the model that the caller began to hear")
        self._text_turns = self._counter("callbot_text_turns", "Turns of the model that were text alone, and not heard")
        self._latency_s = self._histogram(
            "callbot_turn_latency_seconds", "Caller's last word to the first audio that Twilio plays", LATENCY_BUCKETS_S
        )
        self._barge_ins = self._counter("callbot_barge_ins", "Turns that the caller spoke over")
        self._opened = self._counter("callbot_sessions_opened", "Model sessions that became ready, by plan", "plan")
        self._setup_s = self._histogram("callbot_session_setup_seconds", "Opening a model session", SETUP_BUCKETS_S)
        self._lost = self._counter("callbot_sessions_lost", "Model sessions lost or not opened, by cause", "cause")
        self._recovery_s = self._histogram(
            "callbot_reconnect_seconds", "A lost session to the next one that is ready", SETUP_BUCKETS_S
        )
        self._faults = self._counter("callbot_stream_faults", "What should not have been on a wire, by kind", "kind")
        self._tokens = self._counter("callbot_tokens", "Tokens that the model reported, by kind", "kind")
        self._frames = self._counter("callbot_frames", "Frames of 20 ms, by direction as seen from callbot", "direction")
        self._dropped_s = self._counter("callbot_caller_dropped_seconds", "The caller's audio that the model never got")
        self._cost_usd = self._counter(
            "callbot_model_cost_usd", "What the model's part of ended calls is estimated to have cost"
        )
        self._queued_s = Histogram(
            "callbot_queued_seconds",
            "Audio that waits in a call, sampled with its progress line",
            ("queue",),
            buckets=QUEUE_BUCKETS_S,
            registry=self.registry,
        )
        self._lag_s = self._histogram("callbot_event_loop_lag_seconds", "How late a timer of the event loop was", LAG_BUCKETS_S)

    def call_started(self) -> None:
        """A call has begun."""
        self._started.inc()

    def call_ended(self, outcome: str, duration_s: float) -> None:
        """A call has been closed."""
        self._ended.labels(self._kind("outcome", outcome)).inc()
        self._duration_s.observe(duration_s)

    def call_reason(self, reason: str) -> None:
        """Why a call ended: a limit, a hang-up, a fault."""
        self._reasons.labels(self._kind("reason", reason)).inc()

    def turn_heard(self, latency_s: float | None) -> None:
        """Twilio has begun to play a turn, so long after the caller's last word; None where nothing had been asked."""
        self._turns.inc()
        if latency_s is not None:
            self._latency_s.observe(latency_s)

    def barge_in(self) -> None:
        """The caller has spoken over the model."""
        self._barge_ins.inc()

    def session_opened(self, plan: str, setup_s: float) -> None:
        """A model session is ready."""
        self._opened.labels(self._kind("plan", plan)).inc()
        self._setup_s.observe(setup_s)

    def session_lost(self, cause: str) -> None:
        """A model session has ended, or could not be opened."""
        self._lost.labels(self._kind("cause", cause)).inc()

    def recovered(self, after_s: float) -> None:
        """A call has a session again, so long after the loss."""
        self._recovery_s.observe(after_s)

    def stream_fault(self, fault: str) -> None:
        """Something on a wire that should not be there."""
        self._faults.labels(self._kind("fault", fault)).inc()

    def tokens_used(self, kind: str, count: int) -> None:
        """What the model reported: of the prompt, the response, its thoughts, tool use, or cached."""
        self._tokens.labels(kind).inc(max(0, count))

    def text_turn(self) -> None:
        """The model has made a turn of text alone, which the caller does not hear."""
        self._text_turns.inc()

    def audio(self, frames_in: int, frames_out: int, dropped_ms: int) -> None:
        """A call's totals, at its end."""
        self._frames.labels("in").inc(frames_in)
        self._frames.labels("out").inc(frames_out)
        self._dropped_s.inc(dropped_ms / 1000)

    def queued(self, backlog_ms: int, playout_ms: int) -> None:
        """How much audio waits in a call's two queues, now and then."""
        self._queued_s.labels("uplink").observe(backlog_ms / 1000)
        self._queued_s.labels("playout").observe(playout_ms / 1000)

    def cost(self, usd: float) -> None:
        """What the model's part of a call is estimated to have cost."""
        self._cost_usd.inc(usd)

    def loop_lag(self, lag_s: float) -> None:
        """A timer of the event loop fired so late."""
        self._lag_s.observe(max(0.0, lag_s))

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets_s: tuple[float, ...]) -> Histogram:
        return Histogram(name, documentation, buckets=buckets_s, registry=self.registry)

    def _kind(self, label: str, word: str) -> str:
        known = self._kinds.setdefault(label, set())
        if word not in known and len(known) >= MAX_KINDS:
            return "other"
        known.add(word)
        return word


class _DroppedLines(Collector):
    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("callbot_log_lines_dropped", "Log lines that stdout did not take in time", dropped_lines())


def watch_log(registry: CollectorRegistry) -> None:
    """Have `registry` tell how many log lines this process has dropped."""
    registry.register(_DroppedLines())


async def watch_loop_lag(metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
    """Measure how late the event loop is, until cancelled: what is late here is late for every frame of every call."""
    while True:
        asleep_s = clock()
        await asyncio.sleep(LAG_INTERVAL_S)
        metrics.loop_lag(clock() - asleep_s - LAG_INTERVAL_S)
