"""Puts the process together: settings in, a served application out. The only place that knows every room."""

import asyncio
import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from callbot.actors.call import call_factory
from callbot.actors.services import CallServices
from callbot.gemini.connector import Connector
from callbot.gemini.prewarm import Prewarmer
from callbot.server.serve import Shutdown, open_listener, serve
from callbot.settings import Settings
from callbot.store.memory import MemoryCallStore
from callbot.telemetry.metrics import Metrics, watch_loop_lag
from callbot.telemetry.redaction import redact
from callbot.tools import standard_toolbox


async def serve_calls(
    settings: Settings,
    *,
    on_started: Callable[[int], None] | None = None,
    shutdown: Shutdown | None = None,
) -> None:
    """Serve calls in the running loop until asked to stop. `on_started` hears the port.

    Raises OSError when the port cannot be had.
    """
    listener = open_listener(settings.host, settings.port)
    clock = time.monotonic  # not the loop's: uvloop's moves in whole milliseconds, once a turn
    store = MemoryCallStore(clock)
    toolbox = standard_toolbox()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    connector = Connector(settings, toolbox.tools)

    def begin(port: int) -> None:
        connector.warm()
        if on_started is not None:
            on_started(port)

    async with asyncio.TaskGroup() as beside:
        prewarmer = Prewarmer(
            connector,
            beside,
            keep_s=settings.prewarm_s,
            max_waiting=settings.max_prewarmed if settings.prewarm else 0,
            log=structlog.get_logger(),
        )
        services = CallServices(
            settings=settings,
            connector=connector,
            record_ending=store.record_ending,
            log=structlog.get_logger(),
            clock=clock,
            toolbox=toolbox,
            redact=redact,
            metrics=metrics,
            prewarmed=prewarmer,
        )
        lag = beside.create_task(watch_loop_lag(metrics), name="loop_lag")
        await serve(
            settings,
            call_factory=call_factory(services),
            store=store,
            metrics_registry=registry,
            listener=listener,
            on_webhook=prewarmer.prepare,
            on_started=begin,
            shutdown=shutdown,
        )
        prewarmer.stop()
        lag.cancel()


def secrets_of(settings: Settings) -> list[str]:
    """Every secret that the settings hold: what no log line may show, whatever carries it there."""
    single = (settings.gemini_api_key, settings.redis_url, settings.metrics_token, settings.vertex_access_token)
    return [secret.get_secret_value() for secret in (*settings.twilio_auth_token, *single) if secret is not None]
