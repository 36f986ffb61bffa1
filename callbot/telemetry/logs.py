"""Logs: one JSON object a line on stdout, in Cloud Logging's field names; or lines for people on a terminal.

The path of our own lines is short (some twenty microseconds); libraries log through `logging` and come out in the same
form. Writing a line to stdout never waits and never raises (`log_writer`): where a log cannot be written, calls go on
without it.
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

from callbot.telemetry.log_writer import FLUSH_S, LogWriter
from callbot.telemetry.redaction import LineGuard

_SEVERITIES: Final = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL"}
_guard: Final = LineGuard()
_STDOUT: Final = 1
_writer: LogWriter | None = None


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


class _Stream:
    """A stream of the caller's, written at once. One that is closed costs lines, not a call."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def write(self, line: bytes) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _Queued:
    """Stdout, by way of the writer's queue."""

    def __init__(self, writer: LogWriter) -> None:
        self.write = writer.write

    def flush(self) -> None:
        """The writer's thread sees to it."""


def flush(limit_s: float = FLUSH_S) -> None:
    """Wait until what was logged is on stdout, for `limit_s` at the most. Waits: not for a running loop."""
    if _writer is not None:
        _writer.flush(limit_s)


def dropped_lines() -> int:
    """How many lines this process has dropped because stdout did not take them in time."""
    return 0 if _writer is None else _writer.dropped


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()


def configure(log_format: str, log_level: str, stream: ByteStream | None = None) -> None:
    """Set logging up for this process: `log_format` "json", "console" or "auto" (console on a
    terminal), `log_level` "debug" to "error".

    `stream` is stdout unless given, and then written to by a thread: no line ever waits for a reader. Colour is used in the
    console format only, and only on a terminal.
    """
    global _writer  # noqa: PLW0603 - a process has one stdout
    level = logging.getLevelNamesMapping()[log_level.upper()]
    render: Any = structlog.processors.JSONRenderer(serializer=orjson.dumps)
    if log_format == "console" or (log_format == "auto" and stream is None and is_terminal()):
        from callbot.telemetry.console import ConsoleLines  # rich takes 50 ms to load, and a server has JSON

        # The traceback is made here, so that the guard sees it.
        final: list[Any] = [_add_stack_trace, _guard, ConsoleLines(colors=stream is None and is_terminal())]
    else:
        final = [_add_stack_trace, _to_cloud_logging, _guard, render]
    sink: Any
    if stream is None:
        if _writer is None:
            _writer = LogWriter(_STDOUT, _tell_dropped)
        sink = _Queued(_writer)
    else:
        sink = _Stream(stream)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=sink),
        cache_logger_on_first_use=False,  # loggers are bound once a call, and the demo and tests configure anew
    )
    _route_standard_logging(level)


def _tell_dropped(lines: int) -> bytes:
    """The line that says that lines are missing, in the form that the process logs in."""
    event: Any = {"event": "log.dropped", "lines": lines}
    for process in structlog.get_config()["processors"]:
        event = process(None, "warning", event)
    return bytes(event) + b"\n"


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
