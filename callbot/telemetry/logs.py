"""Logs: one JSON object a line on stdout, in Cloud Logging's field names; or lines for people on a terminal.

The path of our own lines is short (a dozen microseconds); libraries log through `logging` and come out in the same form.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

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


def configure(log_format: str, log_level: str, stream: ByteStream | None = None) -> None:
    """Set logging up for this process: `log_format` "json" or "console", `log_level` "debug" to "error"."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    shared: list[Any] = [structlog.contextvars.merge_contextvars]
    if log_format == "console":
        final: list[Any] = [_add_time, _guard, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
        factory: Any = structlog.PrintLoggerFactory(_text_stream(stream))
    else:
        final = [_add_stack_trace, _to_cloud_logging, _guard, structlog.processors.JSONRenderer(serializer=orjson.dumps)]
        factory = structlog.BytesLoggerFactory(file=stream or sys.stdout.buffer)  # type: ignore[arg-type]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=False,  # loggers are bound once a call, and the demo and tests configure anew
    )
    _route_standard_logging(level)


def _text_stream(stream: ByteStream | None) -> TextIO:
    if stream is None:
        return sys.stdout
    return _Encoder(stream)  # type: ignore[return-value]


class _Encoder:
    """A text stream on a byte stream, as far as a print logger needs it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text.encode())

    def flush(self) -> None:
        self._stream.flush()


def _add_time(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["level"] = method
    event["timestamp"] = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
    return event


def _add_stack_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`exc_info` as text where Error Reporting looks for it; without locals, which hold audio and secrets."""
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(_logger, _method, event)
        event["stack_trace"] = event.pop("exception", "")
    else:
        event.pop("exc_info", None)
    return event


def _to_cloud_logging(_logger: Any, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Cloud Logging's special fields (Google Cloud, "Structured logging"), first; ours behind them."""
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "severity": _SEVERITIES.get(method, method.upper()),
        "message": event.pop("event", ""),
    }
    if call_sid := event.get("call_sid"):
        line["logging.googleapis.com/labels"] = {"call_sid": call_sid}
    line.update(event)
    return line


class _ToStructlog(logging.Handler):
    """A library's record as one of our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        method = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning"}.get(record.levelno, "error")
        fields: dict[str, Any] = {"logger": record.name, "said": record.getMessage()}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(log, method)("library.said", **fields)


def _route_standard_logging(level: int) -> None:
    logging.basicConfig(handlers=[_ToStructlog()], level=max(level, logging.WARNING), force=True)
    logging.getLogger("transitions").setLevel(logging.WARNING)  # a line for each transition otherwise
