"""Strangers at the server's door: each attack does its worst once, and knows which log line it must leave behind.

They speak plain sockets and `websockets`, and have only what a stranger can get hold of (`Loot`): a handshake's signature
that was seen once, which is the same for every call, a signed webhook that was overheard, tokens that were stolen. They
come all at once to a server with a real call on it.
"""

import asyncio
import contextlib
import functools
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from tests.live.stranger import (
    FORM,
    NOBODYS_SIGNATURE,
    STREAM_SID,
    Loot,
    Token,
    ask,
    post,
    send,
    start_message,
    stream_socket,
    tcp_connection,
    until_closed,
)

FLOOD_MESSAGES = 2500  # a second's, at fifty times a stream's pace
FLOOD_CLUMP = 50  # every 20 ms, where a stream has one
FRAME = (
    '{{"event":"media","sequenceNumber":"{0}","streamSid":"' + STREAM_SID + '",'
    '"media":{{"track":"inbound","chunk":"{0}","timestamp":"{1}","payload":"' + "/" * 213 + 'w=="}}}}'
)


@dataclass(frozen=True, slots=True)
class Attack:
    """`event`, `reason` and `path` are the log line that it must leave behind; no path where the line has none."""

    run: Callable[[Loot], Awaitable[None]]
    event: str
    reason: str
    path: str | None = None


async def slow_handshake(loot: Loot) -> None:
    """Drip a header that never ends."""
    async with tcp_connection(loot) as (reader, writer):
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
    async with tcp_connection(loot) as (reader, writer):
        writer.write(
            f"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: {FORM}\r\n"
            f"X-Twilio-Signature: {NOBODYS_SIGNATURE}\r\n\r\nCallSid=".encode()
        )
        await reader.read()


async def large_body(loot: Loot) -> None:
    """A form of 100 kB."""
    await post(loot, "/twiml", "a=" + "x" * 100_000, NOBODYS_SIGNATURE)


async def large_headers(loot: Loot) -> None:
    """20 kB of headers in one piece."""
    await post(loot, "/twiml", "", NOBODYS_SIGNATURE, ("X-Long: " + "x" * 20_000,))


async def unsigned_handshake(loot: Loot) -> None:
    """Just connect."""
    with contextlib.suppress(InvalidStatus):
        async with stream_socket(loot, signature=None):
            pass


async def forged_handshake(loot: Loot) -> None:
    """Connect with a signature of one's own."""
    with contextlib.suppress(InvalidStatus):
        async with stream_socket(loot, signature=NOBODYS_SIGNATURE):
            pass


async def never_start(loot: Loot) -> None:
    """Connect with the signature that was seen, and wait."""
    async with stream_socket(loot) as socket:
        await until_closed(socket)


async def media_without_start(loot: Loot) -> None:
    """Sound before `start`, as if the stream had begun."""
    async with stream_socket(loot) as socket:
        media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "/w=="}
        for _ in range(9):
            await socket.send(json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": STREAM_SID, "media": media}))
        await until_closed(socket)


async def flood(loot: Loot) -> None:
    """A flood in a stream that was admitted."""
    async with stream_socket(loot) as socket:
        await _flood(socket, start_message(loot, loot.flood_token))


async def flood_at_once(loot: Loot) -> None:
    """The same without a pause between the clumps, as much as the server takes."""
    async with stream_socket(loot) as socket:
        await _flood(socket, start_message(loot, loot.clump_token), pause_s=0.0)


async def ordinary_call(loot: Loot) -> None:
    """No attack: a caller who hangs up at once. What a flood is held against."""
    async with stream_socket(loot) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(start_message(loot, loot.flood_token))
            for number in range(1, 6):
                await socket.send(FRAME.format(number, 20 * number))
                await asyncio.sleep(0.02)


async def oversize(loot: Loot) -> None:
    """A message over 64 KiB."""
    async with stream_socket(loot) as socket:
        await send(socket, "x" * 70_000)


async def huge(loot: Loot) -> None:
    """A message of 4 MB."""
    async with stream_socket(loot) as socket:
        await send(socket, "x" * 4_000_000)


async def compressed(loot: Loot) -> None:
    """60 KiB that would inflate to 60 MiB."""
    deflated = bomb()
    # FIN, RSV1 (compressed), text; masked with zeros (RFC 6455, 5.2; RFC 7692, 6).
    await _send_bytes(loot, b"\xc1\xfe" + len(deflated).to_bytes(2) + b"\0\0\0\0" + deflated)


@functools.cache
def bomb() -> bytes:
    """60 MiB of blanks, deflated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(b" " * (60 * 2**20)) + compressor.flush(zlib.Z_SYNC_FLUSH)


async def ping_flood(loot: Loot) -> None:
    """40,000 pings, each of six bytes: dearer to read than to send."""
    await _send_bytes(loot, b"\x89\x80\0\0\0\0" * 40_000)


async def in_parts(loot: Loot) -> None:
    """A message in 10,000 parts with nothing in them."""
    await _send_bytes(loot, b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 10_000)


async def _send_bytes(loot: Loot, frames: bytes) -> None:
    async with tcp_connection(loot) as (reader, writer):
        writer.write(
            "GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
            f"X-Twilio-Signature: {loot.handshake_signature}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        await reader.read()


async def binary(loot: Loot) -> None:
    """A binary message: Twilio sends none."""
    async with stream_socket(loot) as socket:
        await send(socket, b"\x00\x01\x02")


async def deep_json(loot: Loot) -> None:
    """Brackets, 30,000 deep."""
    async with stream_socket(loot) as socket:
        await send(socket, "[" * 30_000)


async def rubbish(loot: Loot) -> None:
    """No JSON at all."""
    async with stream_socket(loot) as socket:
        await send(socket, "\x00\u202e no json")


async def no_token(loot: Loot) -> None:
    """A `start` without a token."""
    await _try_token(loot, loot.used_token._replace(secret=""))


async def guessed_token(loot: Loot) -> None:
    """A `start` with a token of one's own making."""
    await _try_token(loot, loot.used_token._replace(secret="x" * 32))


async def replayed_token(loot: Loot) -> None:
    """A token that its own stream has used."""
    await _try_token(loot, loot.used_token)


async def stolen_token(loot: Loot) -> None:
    """An unused token, for another call."""
    await _try_token(loot, loot.unused_token._replace(call_sid="CA" + "d" * 32))


async def second_stream(loot: Loot) -> None:
    """An unused token of an earlier stream, while a later one of the call is live."""
    await _try_token(loot, loot.older_token)


async def forged_webhook(loot: Loot) -> None:
    """Ring without being Twilio."""
    await post(loot, "/twiml", loot.overheard_webhook[0], NOBODYS_SIGNATURE)


async def forged_next(loot: Loot) -> None:
    """Ask what follows a stream, with a signature that was made for another address."""
    await post(loot, "/twiml/next?stream_no=1", *loot.overheard_webhook)


async def forged_status(loot: Loot) -> None:
    """Say that a live call is over."""
    ended = loot.overheard_webhook[0].replace("ringing", "completed")
    await post(loot, "/twilio/status", ended, loot.overheard_webhook[1])


async def replayed_webhook(loot: Loot) -> None:
    """Show Twilio's own request once more."""
    await post(loot, "/twiml", *loot.overheard_webhook)


async def look_at_metrics(loot: Loot) -> None:
    """Ask for what shows calls, through a tunnel that ends on this machine."""
    await ask(loot, b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n")


async def _flood(socket: ClientConnection, first: str = "", pause_s: float = 0.02) -> None:
    with contextlib.suppress(ConnectionClosed):
        if first:
            await socket.send(first)
        for clump in flood_clumps():
            if socket.state is not State.OPEN:
                break
            socket.transport.write(clump)
            await socket.drain()
            await asyncio.sleep(pause_s)
    await until_closed(socket)


@functools.cache
def flood_clumps() -> tuple[bytes, ...]:
    """A flood's frames as they go over the wire: made once, since attackers who are busy would hold up whoever measures."""
    texts = [FRAME.format(number, 20 * number).encode() for number in range(1, FLOOD_MESSAGES + 1)]
    frames = [Frame(Opcode.TEXT, text).serialize(mask=True) for text in texts]
    return tuple(b"".join(frames[at : at + FLOOD_CLUMP]) for at in range(0, FLOOD_MESSAGES, FLOOD_CLUMP))


async def _try_token(loot: Loot, token: Token) -> None:
    async with stream_socket(loot) as socket:
        await send(socket, start_message(loot, token))


ATTACKS = {
    "slow handshake": Attack(slow_handshake, "connection.refused", "request_slow"),
    "slow body": Attack(slow_body, "webhook.refused", "body_too_slow", "/twiml"),
    "large body": Attack(large_body, "webhook.refused", "body_too_large", "/twiml"),
    "large headers": Attack(large_headers, "webhook.refused", "headers_too_large"),
    "unsigned handshake": Attack(unsigned_handshake, "stream.refused", "signature_missing"),
    "forged handshake": Attack(forged_handshake, "stream.refused", "signature_wrong"),
    "never start": Attack(never_start, "stream.refused", "start_timeout"),
    "media without start": Attack(media_without_start, "stream.refused", "not_started"),
    "flood at 50x": Attack(flood, "stream.refused", "flood"),
    "flood at once": Attack(flood_at_once, "stream.refused", "flood"),
    "oversize": Attack(oversize, "stream.refused", "oversize"),
    "huge": Attack(huge, "stream.refused", "oversize"),
    "compressed": Attack(compressed, "stream.refused", "bad_frame"),
    "ping flood": Attack(ping_flood, "stream.refused", "flood"),
    "in parts": Attack(in_parts, "stream.refused", "flood"),
    "binary": Attack(binary, "stream.refused", "binary"),
    "deep JSON": Attack(deep_json, "stream.refused", "too_deep"),
    "rubbish": Attack(rubbish, "stream.refused", "unreadable"),
    "no token": Attack(no_token, "stream.refused", "token_missing"),
    "guessed token": Attack(guessed_token, "stream.refused", "token_unknown"),
    "replayed token": Attack(replayed_token, "stream.refused", "token_used"),
    "stolen token": Attack(stolen_token, "stream.refused", "token_wrong_call"),
    "second stream": Attack(second_stream, "stream.refused", "token_used"),
    "forged webhook": Attack(forged_webhook, "webhook.refused", "signature_wrong", "/twiml"),
    "forged next": Attack(forged_next, "webhook.refused", "signature_wrong", "/twiml/next"),
    "forged status": Attack(forged_status, "webhook.refused", "signature_wrong", "/twilio/status"),
    "replayed webhook": Attack(replayed_webhook, "webhook.refused", "replayed"),
    "look at the metrics": Attack(look_at_metrics, "webhook.refused", "metrics_not_local", "/metrics"),
}
