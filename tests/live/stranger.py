"""What a stranger has and can do: sockets, requests, and what can be got hold of.

Plain TCP and `websockets`; nothing of the server's own code.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

STREAM_SID = "MZ" + "e" * 32
FORM = "application/x-www-form-urlencoded"
NOBODYS_SIGNATURE = "A" * 27 + "="  # well formed, so that it is compared
# Linux doubles it: as much as the server's loop takes in one read. A call of the kernel that hands over megabytes can't be
# interrupted, and would hold up whoever measures on the same core.
SEND_BUFFER_BYTES = 2**17


class Token(NamedTuple):
    """A stream's token, and the call and the stream's number that it is for."""

    call_sid: str
    secret: str
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Loot:
    """What the attacker has: where the server is, and what was stolen."""

    port: int
    account_sid: str
    handshake_signature: str
    overheard_webhook: tuple[str, str]  # of a call that is live: its form and its signature
    used_token: Token
    unused_token: Token
    flood_token: Token  # unused too, and given up for a flood
    clump_token: Token  # and for another
    older_token: Token  # unused, of an earlier stream of a call that is live
    patience_s: float = 10.0


async def connected(loot: Loot) -> socket.socket:
    """A socket that holds back no more than `SEND_BUFFER_BYTES`."""
    ours = socket.socket()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", loot.port))
    except BaseException:
        ours.close()
        raise
    return ours


@contextlib.asynccontextmanager
async def tcp_connection(loot: Loot) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(sock=await connected(loot))
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(loot.patience_s):
                yield reader, writer
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def stream_socket(loot: Loot, signature: str | None = "") -> AsyncIterator[ClientConnection]:
    """A WebSocket; with the signature that was seen unless another is given, or none."""
    shown = loot.handshake_signature if signature == "" else signature
    async with (
        asyncio.timeout(loot.patience_s),
        connect(
            f"ws://127.0.0.1:{loot.port}/ws/twilio",
            sock=await connected(loot),
            additional_headers={} if shown is None else {"X-Twilio-Signature": shown},
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_queue=None,
        ) as socket,
    ):
        yield socket


async def until_closed(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()


async def send(socket: ClientConnection, message: str | bytes) -> None:
    with contextlib.suppress(ConnectionClosed):
        await socket.send(message)
    await until_closed(socket)


def start_message(loot: Loot, token: Token) -> str:
    start = {
        "accountSid": loot.account_sid,
        "streamSid": STREAM_SID,
        "callSid": token.call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token.secret, "stream_no": str(token.stream)},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": STREAM_SID, "start": start})


async def post(loot: Loot, target: str, form: str, signature: str, more: tuple[str, ...] = ()) -> None:
    headers = [
        f"POST {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Type: {FORM}",
        f"Content-Length: {len(form)}",
        f"X-Twilio-Signature: {signature}",
        *more,
    ]
    await ask(loot, "\r\n".join([*headers, "", form]).encode())


async def ask(loot: Loot, request: bytes) -> None:
    async with tcp_connection(loot) as (reader, writer):
        writer.write(request)
        await writer.drain()
        await reader.read()
