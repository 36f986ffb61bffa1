"""Opens model sessions for all calls of a process: one client a location, one TLS context."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache

import structlog
from google import genai
from google.genai import types

from callbot.brief import Brief
from callbot.gemini import session_config
from callbot.gemini.capabilities import Backend, Capabilities, History, capabilities_of
from callbot.gemini.client import make_client, make_credentials, tls_context
from callbot.gemini.credentials import SharedCredentials
from callbot.gemini.declarations import declarations
from callbot.gemini.link import ModelLink, open_link
from callbot.gemini.session_config import SessionOrder
from callbot.settings import Settings
from callbot.tools import Tool
from callbot.wire.gemini import HistoryTurn

NextTurn = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One model of a brief; on Vertex an entry may name its own location, as `model@location`."""

    model: str
    location: str
    capabilities: Capabilities = field(repr=False)


@lru_cache(maxsize=64)
def choice_of(entry: str, location: str, backend: Backend, api_version: str = "") -> ModelChoice:
    """The choice that `entry` names; `location` where it names none."""
    model, _, own_location = entry.partition("@")
    return ModelChoice(model, own_location or location, capabilities_of(model, backend, api_version))


async def _the_loops() -> None:
    await asyncio.sleep(0)


class Connector:
    """Opens sessions. Thread of one event loop; holds no state of any call. `brief` is what most calls will bring.

    `next_turn` is awaited before the settings are put together (0.5 ms) and before the SDK makes its message of them and
    connects (1.5 ms in one step): those who are talking go first.
    """

    def __init__(
        self, settings: Settings, brief: Brief, tools: tuple[Tool, ...] = (), next_turn: NextTurn = _the_loops
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._next_turn = next_turn
        self._tls = tls_context(settings)
        self._credentials = make_credentials(settings)
        self._clients: dict[str, genai.Client] = {}
        self._brief = brief
        log = structlog.get_logger()
        for entry in brief.models:
            choice = self._choice(entry)
            if left_out := session_config.unsupported(brief, choice.capabilities):
                log.warning("model.settings_left_out", model=choice.model, settings=left_out)

    def warm(self) -> None:
        """Make the clients now, and the SDK's models: 120 and 40 ms of CPU that would stand in the first call's way."""
        for entry in self._brief.models:
            self._client(self._choice(entry).location)
        types.LiveServerMessage.model_validate({"setupComplete": {}})  # pydantic builds a model when it is first used

    def start(self) -> None:
        """In the loop that will open sessions: fetch Vertex's access token before a call needs it, and keep it good."""
        if isinstance(self._credentials, SharedCredentials):
            self._credentials.begin()

    def stop(self) -> None:
        """Keep nothing good any more."""
        if isinstance(self._credentials, SharedCredentials):
            self._credentials.stop()

    async def open(self, order: SessionOrder) -> ModelLink:
        """The session that `order` asks for, set up and ready; within the brief's `connect_timeout_s`.

        Raises what `failures.classify` judges.
        """
        choice = self._choice(order.model)
        await self._next_turn()
        offered = tuple(tool for tool in self._tools if tool.name in order.brief.tools)
        capabilities = choice.capabilities.without(order.without)
        config = session_config.build(order, capabilities, declarations(offered, capabilities))
        async with asyncio.timeout(order.brief.limits.connect_timeout_s):
            if isinstance(self._credentials, SharedCredentials):
                await self._credentials.ready()
            await self._next_turn()
            link = await open_link(
                self._client(choice.location),
                choice.model,
                config,
                direct=self._settings.model_codec == "direct",
                opening=capabilities.opening,
            )
            if order.history and capabilities.history is History.INITIAL_CONTENT:
                try:
                    await link.send_content(_turns(order), turn_complete=True)
                except BaseException:  # a time-out or a hang-up too: nobody else knows the link; the fault goes on
                    await link.close(0.5)
                    raise
        return link

    def _choice(self, entry: str) -> ModelChoice:
        settings = self._settings
        return choice_of(entry, settings.google_cloud_location, settings.backend, settings.api_version)

    def _client(self, location: str) -> genai.Client:
        if location not in self._clients:
            self._clients[location] = make_client(self._settings, location, self._tls, self._credentials)
        return self._clients[location]


def _turns(order: SessionOrder) -> list[HistoryTurn]:
    return [HistoryTurn(role="user" if line.role == "caller" else "model", text=line.text) for line in order.history]
