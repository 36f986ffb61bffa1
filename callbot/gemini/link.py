"""One connection to the model: what GeminiSession sends and receives, behind one small adapter.

The SDK makes the connection: addresses, credentials, the set-up message. After that it costs 100 to 190 us a message, most
of it in pydantic; the direct link speaks the same JSON on the same socket for a tenth of that. `CALLBOT_MODEL_CODEC=sdk`
takes the SDK's way instead. `tests/wire` holds both to the same bytes and the same fields.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from google import genai
from google.genai import types
from google.genai.live import AsyncSession
from websockets.protocol import State

from callbot.gemini.capabilities import Opening
from callbot.gemini.connection import LeanConnection, abort, connection_of, has_messages, is_established
from callbot.gemini.failures import SetupRefusedError
from callbot.gemini.sdk_messages import model_message
from callbot.gemini.session_config import SessionOrder
from callbot.wire import gemini as wire
from callbot.wire.reading import Unreadable

AUDIO_MIME: Final = "audio/pcm;rate=16000"
# Messages in a row before others have their turn: an answer comes faster than it is spoken, and 40 ms of it convert in 0.3 ms.
_MOST_IN_A_ROW: Final = 4


class SessionOpener(Protocol):
    """Opens model sessions for calls."""

    async def open(self, order: SessionOrder) -> "ModelLink":
        """The session that `order` asks for, ready; bounded in time. Raises what `failures.classify` judges."""
        ...


class ModelLink(Protocol):
    """One open session's socket. Sends raise what `failures.classify` judges when the link is gone."""

    @property
    def is_open(self) -> bool:
        """Whether the socket was still open when it was last heard of."""
        ...

    async def send_audio(self, pcm: bytes) -> None:
        """Send s16le, 16 kHz, mono."""
        ...

    def send_audio_now(self, pcm: bytes) -> bool:
        """The same without waiting; False when that cannot be done: `send_audio` can, or says why not."""
        ...

    async def ask(self, text: str) -> None:
        """Give the model a text that it is to answer, in the way that makes this model speak."""
        ...

    async def send_text(self, text: str) -> None:
        """Send a text as realtime input."""
        ...

    async def send_content(self, turns: Sequence[wire.HistoryTurn], *, turn_complete: bool) -> None:
        """Send client content: history, or a turn to answer."""
        ...

    async def send_tool_result(self, call_id: str, name: str, result: dict[str, Any]) -> None:
        """Answer a function call; `call_id` is empty for one that came without."""
        ...

    async def send_audio_stream_end(self) -> None:
        """Say that the audio pauses."""
        ...

    def hand_to(self, take: Callable[[wire.ModelMessage | Unreadable], bool]) -> None:
        """From now on give messages to `take` in the turn of the loop in which they come, where that can be done, and to
        `receive`, in order, where it cannot. One that `take` answers with False is `receive`'s, and so are those behind it.
        """
        ...

    async def receive(self) -> wire.ModelMessage | Unreadable:
        """The next message; cancelling it loses nothing. Raises when the link is gone."""
        ...

    async def ping(self) -> asyncio.Future[float]:
        """Send a ping; the future completes with the pong, or fails with the connection."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Close in order, or abort after `timeout_s`. Never raises but for cancellation, and aborts then too."""
        ...


async def open_link(
    client: genai.Client, model: str, config: types.LiveConnectConfig, *, direct: bool, opening: Opening
) -> ModelLink:
    """Connect and wait for setupComplete. The caller sets the time limit: nothing here does.

    Raises `SetupRefusedError` when the first message is something else, and whatever the SDK raises.
    """
    context = client.aio.live.connect(model=model, config=config)
    session = await context.__aenter__()
    link = (DirectLink if direct else SdkLink)(context, session, opening)
    if session.setup_complete is None:
        await link.close(0.5)
        raise SetupRefusedError("the service's first message was not setupComplete")
    return link


class _Link(ABC):
    """What both ways share: the socket's life, and how a text is given."""

    def __init__(self, context: AbstractAsyncContextManager[AsyncSession], session: AsyncSession, opening: Opening) -> None:
        self._context = context
        self._session = session
        self._opening = opening
        self._socket = connection_of(session)

    @property
    def is_open(self) -> bool:
        return self._socket.state is State.OPEN

    async def ask(self, text: str) -> None:
        # Client content only for the first words, and before any audio: amid audio 2.5 closes the session for it with 1007.
        opening, self._opening = self._opening, Opening.REALTIME_TEXT
        if opening is Opening.CLIENT_CONTENT:
            await self.send_content([wire.HistoryTurn(role="user", text=text)], turn_complete=True)
        else:
            await self.send_text(text)

    @abstractmethod
    async def send_text(self, text: str) -> None: ...

    @abstractmethod
    async def send_content(self, turns: Sequence[wire.HistoryTurn], *, turn_complete: bool) -> None: ...

    def _check_alive(self) -> None:
        """After a write: raises ConnectionResetError when it went to nobody."""
        if not is_established(self._socket):
            raise ConnectionResetError("the connection was cut")

    async def ping(self) -> asyncio.Future[float]:
        pong = await self._socket.ping()
        assert isinstance(pong, asyncio.Future)  # noqa: S101 - typed as any awaitable, documented as a future
        return pong

    async def close(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.close()
        except TimeoutError:
            pass  # a stalled peer with a full buffer: what is left is not waited for
        finally:
            abort(self._socket)
            await self._context.__aexit__(None, None, None)


class DirectLink(_Link):
    """The SDK's connection, callbot's codec."""

    def __init__(self, context: AbstractAsyncContextManager[AsyncSession], session: AsyncSession, opening: Opening) -> None:
        super().__init__(context, session, opening)
        self._in_a_row = 0

    async def send_audio(self, pcm: bytes) -> None:
        self._opening = Opening.REALTIME_TEXT
        await self._socket.send(wire.audio_message(pcm).decode())
        self._check_alive()

    def send_audio_now(self, pcm: bytes) -> bool:
        connection = self._socket
        self._opening = Opening.REALTIME_TEXT
        return (
            isinstance(connection, LeanConnection)
            and connection.send_now(wire.audio_message(pcm))
            and is_established(connection)
        )

    async def send_text(self, text: str) -> None:
        await self._socket.send(wire.text_message(text))

    async def send_content(self, turns: Sequence[wire.HistoryTurn], *, turn_complete: bool) -> None:
        await self._socket.send(wire.client_content_message(turns, turn_complete=turn_complete))

    async def send_tool_result(self, call_id: str, name: str, result: dict[str, Any]) -> None:
        await self._socket.send(wire.tool_response_message([wire.ToolResult(id=call_id or None, name=name, response=result)]))

    async def send_audio_stream_end(self) -> None:
        await self._socket.send(wire.audio_stream_end_message())

    def hand_to(self, take: Callable[[wire.ModelMessage | Unreadable], bool]) -> None:
        if isinstance(self._socket, LeanConnection):
            self._socket.taker = lambda message: take(wire.decode(message))

    async def receive(self) -> wire.ModelMessage | Unreadable:
        if has_messages(self._socket):  # the next is there already, and would be taken without a turn for others
            self._in_a_row += 1
            if self._in_a_row >= _MOST_IN_A_ROW:
                self._in_a_row = 0
                await asyncio.sleep(0)
        else:
            self._in_a_row = 0
        return wire.decode(await self._socket.recv(decode=False))


class SdkLink(_Link):
    """Everything through the SDK's own methods."""

    def __init__(self, context: AbstractAsyncContextManager[AsyncSession], session: AsyncSession, opening: Opening) -> None:
        super().__init__(context, session, opening)
        self._messages = session.receive()

    async def send_audio(self, pcm: bytes) -> None:
        self._opening = Opening.REALTIME_TEXT
        await self._session.send_realtime_input(audio=types.Blob(data=pcm, mime_type=AUDIO_MIME))
        self._check_alive()

    def send_audio_now(self, pcm: bytes) -> bool:  # noqa: ARG002 - the SDK has no such way
        return False

    async def send_text(self, text: str) -> None:
        await self._session.send_realtime_input(text=text)

    async def send_content(self, turns: Sequence[wire.HistoryTurn], *, turn_complete: bool) -> None:
        contents = [types.Content(role=turn.role, parts=[types.Part(text=turn.text)]) for turn in turns]
        await self._session.send_client_content(turns=list(contents), turn_complete=turn_complete)

    async def send_tool_result(self, call_id: str, name: str, result: dict[str, Any]) -> None:
        answer = types.FunctionResponse(id=call_id or None, name=name, response=result)
        await self._session.send_tool_response(function_responses=[answer])

    async def send_audio_stream_end(self) -> None:
        await self._session.send_realtime_input(audio_stream_end=True)

    def hand_to(self, take: Callable[[wire.ModelMessage | Unreadable], bool]) -> None:
        pass  # the SDK has no such way

    async def receive(self) -> wire.ModelMessage | Unreadable:
        while True:
            try:
                return model_message(await anext(self._messages))
            except StopAsyncIteration:
                # It ends with each turn, and after a cancelled wait; nothing is lost in between.
                self._messages = self._session.receive()
            except (ValueError, TypeError, AttributeError):
                # A message that this SDK cannot read; the connection is well and the next one follows.
                self._messages = self._session.receive()
                return Unreadable("sdk_unreadable")
