"""Puts the process together: settings in, a served application out. The only place that knows every room.

The rooms of the model are loaded once the server answers (`EarlyCalls`): nothing of `actors`, `audio` or `gemini` may be
imported before, at the top of this module or of one that it imports. A test holds this.
"""

import asyncio
import importlib
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Gauge

from callbot.brief import Brief
from callbot.default_brief import brief_of
from callbot.server.calls.early_calls import EarlyCalls
from callbot.server.process.serve import Shutdown, serve
from callbot.server.process.worker_metrics import WorkerMetrics
from callbot.server.process.workers import WorkerPlace
from callbot.server.transport.shared_listener import WorkerShare, open_listener
from callbot.settings import Settings
from callbot.store.conversations import MemoryConversations
from callbot.store.memory import MemoryCallStore
from callbot.store.redis import RedisCallStore

if TYPE_CHECKING:
    from callbot.gemini.connector import Connector
    from callbot.tools import Toolbox

FIRST_ANSWERS_S = 0.05  # the loading takes the interpreter's lock from the loop, 5 ms at a time: the server opens first


async def serve_calls(
    settings: Settings,
    *,
    on_started: Callable[[int], None] | None = None,
    on_loaded: Callable[[], None] | None = None,
    shutdown: Shutdown | None = None,
    place: WorkerPlace | None = None,
    share: WorkerShare | None = None,
) -> None:
    """Serve calls in the running loop until asked to stop. `on_started` hears the port, once it is about to answer;
    `on_loaded` when a call that comes now waits for nothing. `place` and `share` are a worker's.

    Raises OSError when the port cannot be had.
    """
    listener = open_listener(settings.host, settings.port) if place is None else socket.socket(fileno=place.listener_fd)
    clock = time.monotonic  # not the loop's: uvloop's moves in whole milliseconds, once a turn
    registry = CollectorRegistry()
    calls = EarlyCalls()
    shared = shared_store(settings, clock)
    conversations = MemoryConversations(clock)
    store = MemoryCallStore(clock, _token_secrets(settings)) if shared is None else shared
    siblings = None if place is None else WorkerMetrics(place, registry)
    loading: asyncio.Task[None] | None = None

    def begin(port: int) -> None:
        nonlocal loading
        coming = _load(settings, calls, store, conversations, registry, clock, beside, on_loaded)
        loading = beside.create_task(coming, name="loading")
        if on_started is not None:
            on_started(port)

    async with asyncio.TaskGroup() as beside:
        if shared is not None:
            shared.start(beside)
            Gauge("callbot_store_up", "1 while the shared store answers", registry=registry).set_function(
                lambda: int(shared.is_up)
            )
        telling = None if siblings is None else await siblings.start()
        await serve(
            settings,
            call_factory=calls.make,
            store=store,
            metrics_registry=registry,
            listener=listener,
            on_webhook=calls.hear,
            on_call_over=conversations.forget,
            on_started=begin,
            shutdown=shutdown,
            share=share,
            all_figures=None if siblings is None else siblings.all_figures,
        )
        if telling is not None:
            telling.close()
        if loading is not None:
            loading.cancel()
        if shared is not None:
            await shared.stop()


async def _load(
    settings: Settings,
    calls: EarlyCalls,
    store: MemoryCallStore | RedisCallStore,
    conversations: MemoryConversations,
    registry: CollectorRegistry,
    clock: Callable[[], float],
    beside: asyncio.TaskGroup,
    on_loaded: Callable[[], None] | None,
) -> None:
    """Load what carries calls beside the loop, hand it over, and stay: cancelled, it puts away what only calls need."""
    began_s = clock()
    await asyncio.sleep(FIRST_ANSWERS_S)
    brief = brief_of(settings)
    connector, toolbox = await asyncio.to_thread(_load_rooms, settings, brief)

    from callbot.actors.call import call_factory
    from callbot.actors.services import CallServices
    from callbot.gemini.prewarm import Prewarmer
    from callbot.telemetry.metrics import Metrics, watch_log, watch_loop_lag
    from callbot.telemetry.redaction import redact

    metrics = Metrics(registry)
    watch_log(registry)
    log = structlog.get_logger()
    prewarmer = Prewarmer(
        connector,
        beside,
        brief=brief,
        keep_s=settings.prewarm_s,
        max_waiting=settings.max_prewarmed if settings.prewarm else 0,
        log=log,
    )
    services = CallServices(
        brief=brief,
        opener=prewarmer,
        conversations=conversations,
        record_ending=store.record_ending,
        log=log,
        clock=clock,
        wall_clock=time.time,
        toolbox=toolbox,
        redact=redact,
        backend=settings.backend,
        log_transcripts=settings.log_transcripts,
        metrics=metrics,
    )
    connector.start()
    calls.loaded(call_factory(services), prewarmer.prepare)
    if on_loaded is not None:
        on_loaded()
    log.info("server.loaded", after_ms=int((clock() - began_s) * 1000))
    try:
        await watch_loop_lag(metrics)
    finally:
        prewarmer.stop()
        connector.stop()


def _load_rooms(settings: Settings, brief: Brief) -> tuple["Connector", "Toolbox"]:
    """The slow part, in a thread of its own: a second of imports, then the clients and their TLS contexts."""
    importlib.import_module("callbot.actors.call")
    from callbot.audio import CallerUpsampler, ModelDownsampler
    from callbot.gemini.connector import Connector
    from callbot.tools import standard_toolbox

    toolbox = standard_toolbox()
    connector = Connector(settings, brief, toolbox.tools)
    connector.warm()
    CallerUpsampler(brief.audio.upsampler)  # the first of each reads its filter, for all that follow
    ModelDownsampler(brief.audio.downsampler)
    return connector, toolbox


def shared_store(settings: Settings, clock: Callable[[], float] = time.monotonic) -> RedisCallStore | None:
    """The store of REDIS_URL; None when calls are kept in this process's memory."""
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    # Without an auth token (CALLBOT_INSECURE, on one's own machine) the address is what the processes have in common.
    secrets = _token_secrets(settings) or [url]
    state_key = "" if settings.state_key is None else settings.state_key.get_secret_value()
    return RedisCallStore(
        url, secrets, log=structlog.get_logger(), state_key=state_key, timeout_s=settings.redis_timeout_s, clock=clock
    )


def _token_secrets(settings: Settings) -> list[str]:
    return [token.get_secret_value() for token in settings.twilio_auth_token]
