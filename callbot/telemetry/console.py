"""`LOG_FORMAT=console`: the log for people, one line an event, in the words of the demo's view.

A call has a mark of its own, the last characters of its CallSid; the whole one stands in its first line.
"""

from collections.abc import MutableMapping
from datetime import datetime
from typing import Any, Final

from rich.style import Style
from structlog import DropEvent

from callbot.telemetry.live import MARK, STATE_STYLES, STATE_WIDTH, is_told, tell

_LEVEL_STYLES: Final = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red", "exception": "red"}
_NOT_FIELDS: Final = frozenset({"event", "call_sid", "stream_sid", "state", "t_ms", "stack_trace"})


class ConsoleLines:
    """The last structlog processor of the console format: an event as one line in UTF-8; one that says nothing new is dropped.

    `colors` is whether a terminal shows it.
    """

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
        """One line, and below it a traceback when there is one."""
        name, call_sid = str(event.get("event", "")), str(event.get("call_sid") or "")
        of_call = bool(call_sid) and "t_ms" in event
        said = tell({**event, "message": name})
        if of_call and said is None and not is_told(name) and method in {"debug", "info"}:
            said = ""
        style = _LEVEL_STYLES.get(method, "")
        if said is None:
            fields = " ".join(
                f"{key}={value}" for key, value in event.items() if key not in _NOT_FIELDS and value not in (None, "")
            )
            said = f"{name}  {fields}".rstrip()
        elif not said:
            raise DropEvent
        if name == "call.started":
            said += f", {call_sid}"
        state = str(event.get("state") or "") if of_call else ""
        line = (
            f"{datetime.now().astimezone():%H:%M:%S}  "
            f"{self._styled(f'{call_sid[-MARK:]:<{MARK}}', 'bright_black')}  "
            f"{self._styled(f'{state:<{STATE_WIDTH}}', STATE_STYLES.get(state, ''))}  "
            f"{self._styled(said, style)}"
        ).rstrip()
        trace = event.get("stack_trace")
        return f"{line}\n{trace}".encode() if trace else line.encode()

    def _styled(self, text: str, style: str) -> str:
        return Style.parse(style).render(text) if self._colors and style and text.strip() else text
