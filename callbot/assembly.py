"""Puts the process together: settings in, a served application out. The only place that knows every room."""

import time
from collections.abc import Callable

import structlog

from callbot.actors.call import call_factory
from callbot.actors.journal import CallMetrics
from callbot.actors.services import CallServices
from callbot.gemini.connector import Connector
from callbot.server.serve import Shutdown, serve
from callbot.settings import Settings
from callbot.store.memory import MemoryCallStore
from callbot.telemetry.redaction import redact
from callbot.tools import standard_toolbox


async def serve_calls(
    settings: Settings,
    *,
    on_started: Callable[[int], None] | None = None,
    shutdown: Shutdown | None = None,
    metrics: CallMetrics | None = None,
) -> None:
    """Serve calls in the running loop until asked to stop. `on_started` hears the port.

    Raises OSError when the port cannot be had.
    """
    clock = time.monotonic  # not the loop's: uvloop's moves in whole milliseconds, once a turn
    store = MemoryCallStore(clock)
    toolbox = standard_toolbox()
    services = CallServices(
        settings=settings,
        connector=Connector(settings, toolbox.tools),
        record_ending=store.record_ending,
        log=structlog.get_logger(),
        clock=clock,
        toolbox=toolbox,
        redact=redact,
        metrics=metrics or CallMetrics(),
    )
    await serve(
        settings, call_factory=call_factory(services), store=store, on_started=on_started, shutdown=shutdown
    )
