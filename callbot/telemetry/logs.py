"""Logs: one JSON object a line on stdout, in Cloud Logging's field names; or lines for people on a terminal.

The path of our own lines is short (some twenty microseconds); libraries log through `logging` and come out in the same
form. Writing a line never raises: where a log cannot be written, the call goes on without it.
"""

import logging
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import structlog

from callbot.telemetry.redaction import LineGuard

_SEVERITIES: Final = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL"}
_guard: Final = LineGuard()


class ByteStream(Protocol):
    """Where lines go."""

    def write(self, line: bytes, /) -> Any:
        """Take one line."""
        ...

    def flush(self) -> None:
        """Bring it out."""
        ...


def register_secrets(values: Iterable[str]) -> None:
    """Values that no log line may show."""
    _guard.register(values)


class _Sink:
    """The stream as structlog writes to it. A reader that went away (a broken pipe, a closed file) costs lines, not a call."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def write(self, line: bytes | str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line if isinstance(line, bytes) else line.encode())

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(log_format: str, log_level: str, stream: ByteStream | None = None) -> None:
    """Set logging up for this process: `log_format` "json" or "console", `log_level` "debug" to "error".

    `stream` is stdout unless given. Colour is used in the console format only, and only on a terminal.
    """
    level = logging.getLevelNamesMapping()[log_level.upper()]
    sink: Any = _Sink(sys.stdout.buffer if stream is None else stream)
    if log_format == "console":
        colors = sys.stdout.isatty() if stream is None else False
        # The traceback is made here, so that the guard sees it.
        final: list[Any] = [_add_stack_trace, _add_time, _guard, _for_people, structlog.dev.ConsoleRenderer(colors=colors)]
        factory: Any = structlog.PrintLoggerFactory(sink)
    else:
        final = [_add_stack_trace, _to_cloud_logging, _guard, structlog.processors.JSONRenderer(serializer=orjson.dumps)]
        factory = structlog.BytesLoggerFactory(file=sink)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=False,  # loggers are bound once a call, and the demo and tests configure anew
    )
    _route_standard_logging(level)


def _add_time(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["level"] = method
    event["timestamp"] = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
    return event


def _for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The traceback under the name that the console renderer writes out in lines."""
    if "stack_trace" in event:
        event["exception"] = event.pop("stack_trace")
    return event


def _add_stack_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`exc_info` as text where Error Reporting looks for it; without locals, which hold audio and secrets."""
    raised = event.pop("exc_info", None)
    if isinstance(raised, tuple):
        raised = raised[1]
    error = raised if isinstance(raised, BaseException) else sys.exception() if raised else None
    if error is not None:
        event["stack_trace"] = "".join(traceback.format_exception(error)).rstrip()
    return event


def _to_cloud_logging(_logger: Any, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Cloud Logging's special fields (Google Cloud, "Structured logging"), first; ours behind them."""
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "severity": _SEVERITIES.get(method, method.upper()),
        "message": str(event.pop("event", "")),
    }
    if call_sid := event.get("call_sid"):
        line["logging.googleapis.com/labels"] = {"call_sid": str(call_sid)}
    for name, value in event.items():
        # A field that takes one of these names keeps its value under a name of its own.
        line[f"{name}_" if name in line else name] = value
    return line


class _ToStructlog(logging.Handler):
    """A library's record as one of our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        method = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning"}.get(record.levelno, "error")
        try:
            said = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit the format are the library's mistake
            said = str(record.msg)
        fields: dict[str, Any] = {"logger": record.name, "said": said}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(log, method)("library.said", **fields)


def _route_standard_logging(level: int) -> None:
    logging.basicConfig(handlers=[_ToStructlog()], level=max(level, logging.WARNING), force=True)
    logging.getLogger("transitions").setLevel(logging.WARNING)  # a line for each transition otherwise
