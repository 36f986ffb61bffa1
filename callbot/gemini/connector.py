"""Opens model sessions for all calls of a process: one client a location, one TLS context."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from google import genai
from google.genai import types

from callbot.gemini import session_config
from callbot.gemini.capabilities import Capabilities, History, Opening, capabilities_of
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
    """One configured model; on Vertex an entry may name its own location, as `model@location`."""

    model: str
    location: str
    capabilities: Capabilities = field(repr=False)


def choices(settings: Settings) -> tuple[ModelChoice, ...]:
    """The model and its fallbacks, in the order in which they are tried."""
    found = []
    for entry in (settings.model, *settings.fallback_models):
        model, _, location = entry.partition("@")
        found.append(ModelChoice(model, location or settings.google_cloud_location, capabilities_of(model, settings.backend)))
    return tuple(found)


async def _the_loops() -> None:
    await asyncio.sleep(0)


class Connector:
    """Opens sessions. Thread of one event loop; holds no state of any call.

    `next_turn` is awaited before the settings are put together (0.5 ms) and before the SDK makes its message of them and
    connects (1.5 ms in one step): those who are talking go first.
    """

    def __init__(self, settings: Settings, tools: tuple[Tool, ...] = (), next_turn: NextTurn = _the_loops) -> None:
        self._settings = settings
        self._tools = tools
        self._next_turn = next_turn
        self._tls = tls_context(settings)
        self._credentials = make_credentials(settings)
        self._clients: dict[str, genai.Client] = {}
        self.choices = choices(settings)
        log = structlog.get_logger()
        for choice in self.choices:
            if left_out := session_config.unsupported(settings, choice.capabilities):
                log.warning("model.settings_left_out", model=choice.model, settings=left_out)

    def warm(self) -> None:
        """Make the clients now, and the SDK's models: 120 and 40 ms of CPU that would stand in the first call's way."""
        for choice in self.choices:
            self._client(choice.location)
        types.LiveServerMessage.model_validate({"setupComplete": {}})  # pydantic builds a model when it is first used

    def start(self) -> None:
        """In the loop that will open sessions: fetch Vertex's access token before a call needs it, and keep it good."""
        if isinstance(self._credentials, SharedCredentials):
            self._credentials.begin()

    def stop(self) -> None:
        """Keep nothing good any more."""
        if isinstance(self._credentials, SharedCredentials):
            self._credentials.stop()

    @property
    def models(self) -> tuple[str, ...]:
        """The configured models' names, in the order in which they are tried."""
        return tuple(choice.model for choice in self.choices)

    async def open(self, order: SessionOrder, model_index: int) -> ModelLink:
        """A session of the configured model `model_index`, set up and ready; within CALLBOT_CONNECT_TIMEOUT_S.

        Raises what `failures.classify` judges.
        """
        choice = self.choices[model_index]
        await self._next_turn()
        config = session_config.build(
            order, self._settings, choice.capabilities, declarations(self._tools, choice.capabilities)
        )
        async with asyncio.timeout(self._settings.connect_timeout_s):
            if isinstance(self._credentials, SharedCredentials):
                await self._credentials.ready()
            await self._next_turn()
            link = await open_link(
                self._client(choice.location), order.model, config, direct=self._settings.model_codec == "direct"
            )
            if order.history and choice.capabilities.history is History.INITIAL_CONTENT:
                try:
                    await link.send_content(_turns(order), turn_complete=True)
                except BaseException:  # a time-out or a hang-up too: nobody else knows the link; the fault goes on
                    await link.close(0.5)
                    raise
        return link

    async def speak_first(self, link: ModelLink, model_index: int, text: str) -> None:
        """Give the model `text` in the way that makes this model speak."""
        if self.choices[model_index].capabilities.opening is Opening.CLIENT_CONTENT:
            await link.send_content([HistoryTurn(role="user", text=text)], turn_complete=True)
        else:
            await link.send_text(text)

    def _client(self, location: str) -> genai.Client:
        if location not in self._clients:
            self._clients[location] = make_client(self._settings, location, self._tls, self._credentials)
        return self._clients[location]


def _turns(order: SessionOrder) -> list[HistoryTurn]:
    return [HistoryTurn(role="user" if line.role == "caller" else "model", text=line.text) for line in order.history]
