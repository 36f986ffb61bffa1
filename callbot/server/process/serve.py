"""The process around the app: its port, its signals, and how it stops.

Hypercorn 0.18 on Python 3.12.1 and later does not shut down while a WebSocket is open (pgjones/hypercorn#308), so all
draining happens inside its shutdown trigger: the listener goes on answering while calls say goodbye, and Hypercorn is left
nothing to wait for. Cloud Run kills a container 10 s after SIGTERM: drain_s (7), then about 2 s for what follows.
"""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.typing import ResponseSummary, WWWScope
from prometheus_client import CollectorRegistry
from quart import Quart
from structlog.typing import FilteringBoundLogger

from callbot.actors.ports import CallFactory
from callbot.server.http.app import create_app
from callbot.server.limits.newcomers import NewcomerBudget
from callbot.server.services import ServerServices, prepare_nothing
from callbot.server.transport.connections import BoundedConfig
from callbot.server.transport.shared_listener import BACKLOG, WorkerShare, open_listener
from callbot.settings import Settings
from callbot.store.protocol import CallStore

GRACEFUL_S = 1.0  # only the net under the drain
SHUTDOWN_S = 2.0  # Quart's own clean-up
LAST_RESORT_S = 2.5  # after drain_s: with its 7 s still inside Cloud Run's 10 s
# Over our own limit, which closes with 1009 and a line in the log; what is larger still is cut off here.
MESSAGE_NET = 4
HEADER_NET = 4  # likewise for the headers


class Shutdown:
    """The wish to stop: the first request drains, the second ends the waiting."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._on_second: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask; to be called in the loop's thread."""
        if self._asked.is_set() and self._on_second is not None:
            self._on_second()
        self._asked.set()

    async def wait(self, on_second: Callable[[], None]) -> None:
        """Wait for the first request; `on_second` hears every later one."""
        await self._asked.wait()
        self._on_second = on_second

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask."""
        loop = asyncio.get_running_loop()
        wanted = (signal.SIGTERM, signal.SIGINT)
        for number in wanted:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)


class HypercornLog(Logger):
    """Hypercorn's words in our log. No access lines: webhooks and calls have their own, probes need none."""

    def __init__(self, log: FilteringBoundLogger, config: Config) -> None:  # noqa: ARG002
        self._log = log
        self.access_logger = None
        self.error_logger = None

    async def access(self, request: WWWScope, response: ResponseSummary, request_time: float) -> None:
        """Nothing."""

    async def log(self, level: int, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's."""
        self._log.log(level, "server.hypercorn", said=message % args if args else message, exc_info=kwargs.get("exc_info"))

    async def debug(self, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's."""
        await self.log(10, message, *args, **kwargs)

    async def info(self, message: str, *args: Any, **kwargs: Any) -> None:
        """What Hypercorn finds worth saying about itself is worth a debug line."""
        await self.log(10, message, *args, **kwargs)

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's."""
        await self.log(30, message, *args, **kwargs)

    async def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's."""
        await self.log(40, message, *args, **kwargs)

    async def critical(self, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's."""
        await self.log(50, message, *args, **kwargs)

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        """One line of Hypercorn's, with its traceback."""
        await self.log(40, message, *args, exc_info=True, **kwargs)


async def serve(
    settings: Settings,
    *,
    call_factory: CallFactory,
    store: CallStore | None = None,
    log: FilteringBoundLogger | None = None,
    metrics_registry: CollectorRegistry | None = None,
    on_webhook: Callable[[str], None] = prepare_nothing,
    on_call_over: Callable[[str], None] = prepare_nothing,
    on_started: Callable[[int], None] | None = None,
    listener: socket.socket | None = None,
    shutdown: Shutdown | None = None,
    share: WorkerShare | None = None,
    all_figures: Callable[[], Awaitable[bytes]] | None = None,
) -> None:
    """Serve calls until asked to stop; returns once everything has ended. `share` when the port is shared with other workers.

    `on_started` hears the port. Without `shutdown` the process is taken for ours: SIGTERM and SIGINT stop it, and when it
    does not end in time it is ended with exit code 1. Raises OSError when the port cannot be had.
    """
    listener = open_listener(settings.host, settings.port) if listener is None else listener
    port: int = listener.getsockname()[1]
    if not settings.service_url:  # local work; serving_problems() asks for an address otherwise
        settings = settings.model_copy(update={"service_url": (f"http://127.0.0.1:{port}",)})
    services = ServerServices.from_settings(
        settings,
        call_factory=call_factory,
        store=store,
        log=log,
        metrics_registry=metrics_registry,
        on_webhook=on_webhook,
        on_call_over=on_call_over,
        all_figures=all_figures,
    )
    registry = services.registry
    if share is not None:
        share.watch(lambda: registry.live + registry.pending, lambda: registry.full or registry.draining)
    app = create_app(services)
    if shutdown is not None:
        await serve_app(app, services, listener=listener, shutdown=shutdown, on_started=on_started)
        return
    shutdown = Shutdown()
    with shutdown.on_signals():
        await serve_app(
            app,
            services,
            listener=listener,
            shutdown=shutdown,
            on_started=on_started,
            last_resort=functools.partial(os._exit, 1),
        )


async def serve_app(
    app: Quart,
    services: ServerServices,
    *,
    listener: socket.socket,
    shutdown: Shutdown,
    on_started: Callable[[int], None] | None = None,
    last_resort: Callable[[], None] | None = None,
    last_resort_s: float = LAST_RESORT_S,
) -> None:
    """Serve an app on a listening socket, which is used up. `last_resort` is called, from a thread of its own because
    the loop may be what is stuck, when stopping takes `drain_s` and `last_resort_s`.
    """
    settings, registry, log = services.settings, services.registry, services.log
    port: int = listener.getsockname()[1]

    @app.before_serving
    async def say_started() -> None:
        log.info(
            "server.started",
            port=port,
            service_url=",".join(settings.service_url),
            backend=settings.backend,
            model=settings.model,
            max_calls=settings.max_calls,
            signatures=services.signatures.enabled,
            revision=settings.k_revision,
        )
        if on_started is not None:
            on_started(port)

    note_refused = functools.partial(services.note_refusal, "connection")
    config = hypercorn_config(settings, log, listener.detach(), services.newcomers, note_refused)
    timer = threading.Timer(settings.drain_s + last_resort_s, last_resort or _nothing)
    timer.daemon = True
    late = 0

    async def drained() -> None:
        nonlocal late
        await shutdown.wait(on_second=registry.hurry)
        if last_resort is not None:
            timer.start()
        log.info("server.draining", calls=registry.live, limit_s=settings.drain_s)
        registry.start_drain()
        late = await registry.drained(settings.drain_s)
        config.drop_newcomers()

    try:
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=drained)
    finally:
        timer.cancel()
        log.info("server.stopped", cancelled=late)


def hypercorn_config(
    settings: Settings,
    log: FilteringBoundLogger,
    listener_fd: int,
    newcomers: NewcomerBudget,
    note_refused: Callable[[str], None],
) -> BoundedConfig:
    """Hypercorn's settings for calls."""

    def note_failed(fault: Exception) -> None:
        log.warning("connection.failed", error=f"{type(fault).__name__}: {fault}"[:200])

    # However many calls may come, each has a connection, and so has each stream that will show its token.
    needed = settings.max_calls + settings.max_unauthenticated_sockets
    config = BoundedConfig(max(settings.max_connections, needed), newcomers, note_refused, note_failed)
    config.bind = [f"fd://{listener_fd}"]
    config.backlog = BACKLOG
    config.graceful_timeout = GRACEFUL_S
    config.shutdown_timeout = SHUTDOWN_S
    config.keep_alive_timeout = settings.request_timeout_s
    # Each request has its place in the newcomers' turns; of several workers the one with the fewest calls has the next.
    config.keep_alive_max_requests = 1
    config.h11_max_incomplete_size = settings.max_header_bytes * HEADER_NET
    config.h2_max_header_list_size = settings.max_header_bytes * HEADER_NET
    config.websocket_max_message_size = settings.max_message_bytes * MESSAGE_NET
    config.websocket_ping_interval = None  # pongs are not checked and a ping lingers; silence is what shows a dead stream
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    config.logger_class = functools.partial(HypercornLog, log)  # type: ignore[assignment]
    return config


def _nothing() -> None:
    """No last resort."""
