"""Strangers at the server's door: each attack does its worst once, and knows which log line it must leave behind.

They speak plain sockets and `websockets`, and have only what a stranger can get hold of (`Loot`): a handshake's signature
that was seen once, which is the same for every call, a signed webhook that was overheard, tokens that were stolen. The
tests run each against a server with a real call on it; `bench/hostile.py` runs them all at once and again and again.
"""

import asyncio
import contextlib
import functools
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

STREAM_SID = "MZ" + "e" * 32
FORM = "application/x-www-form-urlencoded"
NOBODYS_SIGNATURE = "A" * 27 + "="  # well formed, so that it is compared
FLOOD_MESSAGES = 2500  # a second's, at fifty times a stream's pace
FLOOD_CLUMP = 50  # every 20 ms, where a stream has one
FRAME = (
    '{{"event":"media","sequenceNumber":"{0}","streamSid":"' + STREAM_SID + '",'
    '"media":{{"track":"inbound","chunk":"{0}","timestamp":"{1}","payload":"' + "/" * 213 + 'w=="}}}}'
)


@dataclass(frozen=True, slots=True)
class Loot:
    """What the attacker has: where the server is, and what was stolen. A token comes with the call that it is for."""

    port: int
    account_sid: str
    handshake_signature: str
    overheard_webhook: tuple[str, str]  # of a call that is live: its form and its signature
    used_token: tuple[str, str]
    unused_token: tuple[str, str]
    flood_token: tuple[str, str]  # unused too, and given up for the flood
    older_token: tuple[str, str]  # of an earlier stream of a call that is live
    patience_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Attack:
    """`event` and `reason` are the log line that it must leave behind."""

    run: Callable[[Loot], Awaitable[None]]
    event: str
    reason: str


async def slow_handshake(loot: Loot) -> None:
    """Drip a header that never ends."""
    async with _tcp(loot) as (reader, writer):
        writer.write(b"GET /ws/twilio HTTP/1.1\r\nHost: x\r\n")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"X-A: b\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        try:
            await reader.read()
        finally:
            dripping.cancel()


async def slow_body(loot: Loot) -> None:
    """Promise a body, send a part of it."""
    async with _tcp(loot) as (reader, writer):
        writer.write(
            f"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: {FORM}\r\n"
            f"X-Twilio-Signature: {NOBODYS_SIGNATURE}\r\n\r\nCallSid=".encode()
        )
        await reader.read()


async def large_body(loot: Loot) -> None:
    """A form of 100 kB."""
    await _post(loot, "/twiml", "a=" + "x" * 100_000, NOBODYS_SIGNATURE)


async def large_headers(loot: Loot) -> None:
    """20 kB of headers in one piece."""
    await _post(loot, "/twiml", "", NOBODYS_SIGNATURE, ("X-Long: " + "x" * 20_000,))


async def unsigned_handshake(loot: Loot) -> None:
    """Just connect."""
    with contextlib.suppress(InvalidStatus):
        async with _socket(loot, signature=None):
            pass


async def forged_handshake(loot: Loot) -> None:
    """Connect with a signature of one's own."""
    with contextlib.suppress(InvalidStatus):
        async with _socket(loot, signature=NOBODYS_SIGNATURE):
            pass


async def never_start(loot: Loot) -> None:
    """Connect with the signature that was seen, and wait."""
    async with _socket(loot) as socket:
        await _until_closed(socket)


async def media_without_start(loot: Loot) -> None:
    """A flood before `start`."""
    async with _socket(loot) as socket:
        await _flood(socket)


async def flood(loot: Loot) -> None:
    """A flood in a stream that was admitted."""
    async with _socket(loot) as socket:
        await socket.send(_start(loot, loot.flood_token))
        await _flood(socket)


async def oversize(loot: Loot) -> None:
    """A message over 64 KiB."""
    async with _socket(loot) as socket:
        await _send(socket, "x" * 70_000)


async def huge(loot: Loot) -> None:
    """A message of 4 MB."""
    async with _socket(loot) as socket:
        await _send(socket, "x" * 4_000_000)


async def compressed(loot: Loot) -> None:
    """60 KiB that would inflate to 60 MiB."""
    async with _tcp(loot) as (reader, writer):
        writer.write(
            "GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
            f"X-Twilio-Signature: {loot.handshake_signature}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        deflated = bomb()
        # FIN, RSV1 (compressed), text; masked with zeros (RFC 6455, 5.2; RFC 7692, 6).
        writer.write(b"\xc1\xfe" + len(deflated).to_bytes(2) + b"\0\0\0\0" + deflated)
        await reader.read()


@functools.cache
def bomb() -> bytes:
    """60 MiB of blanks, deflated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(b" " * (60 * 2**20)) + compressor.flush(zlib.Z_SYNC_FLUSH)


async def binary(loot: Loot) -> None:
    """A binary message: Twilio sends none."""
    async with _socket(loot) as socket:
        await _send(socket, b"\x00\x01\x02")


async def deep_json(loot: Loot) -> None:
    """Brackets, 30,000 deep."""
    async with _socket(loot) as socket:
        await _send(socket, "[" * 30_000)


async def rubbish(loot: Loot) -> None:
    """No JSON at all."""
    async with _socket(loot) as socket:
        await _send(socket, "\x00\u202e no json")


async def no_token(loot: Loot) -> None:
    """A `start` without a token."""
    await _try_token(loot, (loot.used_token[0], ""))


async def guessed_token(loot: Loot) -> None:
    """A `start` with a token of one's own making."""
    await _try_token(loot, (loot.used_token[0], "x" * 32))


async def replayed_token(loot: Loot) -> None:
    """A token that its own stream has used."""
    await _try_token(loot, loot.used_token)


async def stolen_token(loot: Loot) -> None:
    """An unused token, for another call."""
    await _try_token(loot, ("CA" + "d" * 32, loot.unused_token[1]))


async def second_stream(loot: Loot) -> None:
    """An unused token of an earlier stream, while a later one of the call is live."""
    await _try_token(loot, loot.older_token)


async def forged_webhook(loot: Loot) -> None:
    """Ring without being Twilio."""
    await _post(loot, "/twiml", loot.overheard_webhook[0], NOBODYS_SIGNATURE)


async def forged_next(loot: Loot) -> None:
    """Ask what follows a stream, with a signature that was made for another address."""
    await _post(loot, "/twiml/next?attempt=1", *loot.overheard_webhook)


async def forged_status(loot: Loot) -> None:
    """Say that a live call is over."""
    ended = loot.overheard_webhook[0].replace("ringing", "completed")
    await _post(loot, "/twilio/status", ended, loot.overheard_webhook[1])


async def replayed_webhook(loot: Loot) -> None:
    """Show Twilio's own request once more."""
    await _post(loot, "/twiml", *loot.overheard_webhook)


async def look_at_metrics(loot: Loot) -> None:
    """Ask for what shows calls, through a tunnel that ends on this machine."""
    await _ask(loot, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n")


ATTACKS = {
    "slow handshake": Attack(slow_handshake, "connection.refused", "request_slow"),
    "slow body": Attack(slow_body, "webhook.refused", "body_too_slow"),
    "large body": Attack(large_body, "webhook.refused", "body_too_large"),
    "large headers": Attack(large_headers, "webhook.refused", "headers_too_large"),
    "unsigned handshake": Attack(unsigned_handshake, "stream.refused", "signature_missing"),
    "forged handshake": Attack(forged_handshake, "stream.refused", "signature_wrong"),
    "never start": Attack(never_start, "stream.refused", "start_timeout"),
    "media without start": Attack(media_without_start, "stream.refused", "not_started"),
    "flood at 50x": Attack(flood, "stream.refused", "flood"),
    "oversize": Attack(oversize, "stream.refused", "oversize"),
    "huge": Attack(huge, "stream.refused", "oversize"),
    "compressed": Attack(compressed, "stream.closed", "before_start"),
    "binary": Attack(binary, "stream.refused", "binary"),
    "deep JSON": Attack(deep_json, "stream.refused", "too_deep"),
    "rubbish": Attack(rubbish, "stream.refused", "unreadable"),
    "no token": Attack(no_token, "stream.refused", "token_missing"),
    "guessed token": Attack(guessed_token, "stream.refused", "token_unknown"),
    "replayed token": Attack(replayed_token, "stream.refused", "token_used"),
    "stolen token": Attack(stolen_token, "stream.refused", "token_wrong_call"),
    "second stream": Attack(second_stream, "stream.refused", "second_stream"),
    "forged webhook": Attack(forged_webhook, "webhook.refused", "signature_wrong"),
    "forged next": Attack(forged_next, "webhook.refused", "signature_wrong"),
    "forged status": Attack(forged_status, "webhook.refused", "signature_wrong"),
    "replayed webhook": Attack(replayed_webhook, "webhook.refused", "replayed"),
    "look at the metrics": Attack(look_at_metrics, "webhook.refused", "metrics_not_local"),
}


@contextlib.asynccontextmanager
async def _tcp(loot: Loot) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", loot.port)
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(loot.patience_s):
                yield reader, writer
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def _socket(loot: Loot, signature: str | None = "") -> AsyncIterator[ClientConnection]:
    """A WebSocket; with the signature that was seen unless another is given, or none."""
    shown = loot.handshake_signature if signature == "" else signature
    async with (
        asyncio.timeout(loot.patience_s),
        connect(
            f"ws://127.0.0.1:{loot.port}/ws/twilio",
            additional_headers={} if shown is None else {"X-Twilio-Signature": shown},
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_queue=None,
        ) as socket,
    ):
        yield socket


async def _until_closed(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()


async def _send(socket: ClientConnection, message: str | bytes) -> None:
    with contextlib.suppress(ConnectionClosed):
        await socket.send(message)
    await _until_closed(socket)


async def _flood(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for number in range(1, FLOOD_MESSAGES + 1):
            await socket.send(FRAME.format(number, 20 * number))
            if number % FLOOD_CLUMP == 0:
                await asyncio.sleep(0.02)
    await _until_closed(socket)


async def _try_token(loot: Loot, token: tuple[str, str]) -> None:
    async with _socket(loot) as socket:
        await _send(socket, _start(loot, token))


def _start(loot: Loot, token: tuple[str, str]) -> str:
    call_sid, secret = token
    start = {
        "accountSid": loot.account_sid,
        "streamSid": STREAM_SID,
        "callSid": call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": secret, "attempt": "1"},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": STREAM_SID, "start": start})


async def _post(loot: Loot, target: str, form: str, signature: str, more: tuple[str, ...] = ()) -> None:
    headers = [
        f"POST {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Type: {FORM}",
        f"Content-Length: {len(form)}",
        f"X-Twilio-Signature: {signature}",
        *more,
    ]
    await _ask(loot, "\r\n".join([*headers, "", form]).encode())


async def _ask(loot: Loot, request: bytes) -> None:
    async with _tcp(loot) as (reader, writer):
        writer.write(request)
        await writer.drain()
        await reader.read()
