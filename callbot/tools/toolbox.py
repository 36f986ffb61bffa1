"""The toolbox: functions by name, run with a time limit; every call gets an answer that the model understands."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

# Ten seconds of a tool are dead air for a caller; longer work answers "started" and goes on elsewhere.
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a function gives back: a JSON object for the model, and whether the call should end after its goodbye."""

    result: dict[str, Any]
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """One function the model may call. `parameters` is an OpenAPI-style object schema, or None for no arguments."""

    name: str
    description: str
    run: Callable[[dict[str, Any]], Awaitable[ToolOutcome]]
    parameters: dict[str, Any] | None = None


class Toolbox:
    """The functions of a call."""

    def __init__(self, tools: tuple[Tool, ...], *, timeout_s: float = _TIMEOUT_S) -> None:
        self.tools = tools
        self._by_name = {tool.name: tool for tool in tools}
        self._timeout_s = timeout_s

    async def run(self, name: str, arguments: dict[str, Any]) -> ToolOutcome:
        """Run a function; a failure is an answer too. Raises nothing but cancellation.

        A status, whether to try again, and a message: on an empty result 3.8 calls again two to five times.
        """
        tool = self._by_name.get(name)
        if tool is None:
            return _failed(f"there is no function {name[:64]!r}; say that you cannot do this", retryable=False)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await tool.run(arguments)
        except TimeoutError:
            return _failed("it took too long; say so and offer to try again", retryable=True)
        except Exception as error:  # noqa: BLE001 - a tool's fault is the model's to explain, not the call's to die of
            return _failed(f"it failed ({type(error).__name__}); say that it did not work", retryable=False)


def _failed(message: str, *, retryable: bool) -> ToolOutcome:
    return ToolOutcome({"status": "error", "retryable": retryable, "message": message})


async def _end_call(_arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome({"status": "ok", "message": "the call ends once your goodbye has been heard"}, ends_call=True)


END_CALL: Final = Tool(
    name="end_call",
    description="End the telephone call. Use it only after the caller has said goodbye and you have said goodbye too.",
    run=_end_call,
)


def standard_toolbox() -> Toolbox:
    """What every call has."""
    return Toolbox((END_CALL,))
