"""Fuzz the door: any bytes on a connection, cut anywhere, up to the moment in which they are refused or let in.

The first two bytes of an input say where it is cut, besides behind the head; the rest is what comes, with places for what only
Twilio has: the handshake's signature, a webhook's, an unused token. Held for every input: the door decides and leaves nothing
behind, its answer is one of a few, whoever has not shown what it takes is not let in as a call, and no secret is in an answer
or in a log line.
"""

import asyncio
import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuzz import campaign
from fuzz.campaign import require
from fuzz.fuzz_webhook import ACCOUNT, AUTH_TOKEN, CALL, GEMINI_KEY, SIGNED, STREAM, Exchange, signatures

if TYPE_CHECKING:
    from callbot.server.guard import Arrival

# As long as what takes their place, so that lengths stay right.
HANDSHAKE_SIGNATURE = b"{HANDSHAKE-SIGNATURE-------}"
WEBHOOK_SIGNATURE = b"{WEBHOOK-SIGNATURE---------}"
TOKEN = b"{TOKEN-------------------------}"
STATUSES = {101, 400, 401, 403, 404, 408, 413, 431, 501, 503, 505}
CLOSES = {1000, 1002, 1003, 1007, 1008, 1009, 1013}
TURNS = 12  # of the loop, between two pieces: more than a step at the door takes
TOO_EARLY = 255  # as the first byte: what follows a request's head comes with it
UNJUDGED = (b"100-continue",)  # with this in it a webhook may go in unjudged

_WORDS = f"""
GET POST HEAD /ws/twilio /twiml /twiml/next?stream_no=1 /twilio/status /metrics /healthz /x HTTP/1.1 HTTP/1.0 Host: Upgrade:
websocket Connection: Content-Length: Transfer-Encoding: chunked Expect: 100-continue Sec-WebSocket-Key: Sec-WebSocket-Version:
X-Twilio-Signature: {HANDSHAKE_SIGNATURE.decode()} {WEBHOOK_SIGNATURE.decode()} {TOKEN.decode()} event connected start media
stop Authorization: X-Forwarded-For: traceparent: bodySHA256= {CALL} {ACCOUNT} {STREAM}
"""


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame (RFC 6455, 5.2), masked with zeros so that a fuzzer sees what is in it."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([first]) + length + bytes(4) + payload


def seeds() -> list[bytes]:
    """What comes, and what strangers send."""
    form = f"CallSid={CALL}&AccountSid={ACCOUNT}&CallStatus=ringing&From=%2B14158675310".encode()
    webhook = (
        b"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n"
        b"X-Twilio-Signature: %s\r\n\r\n%s"
    )
    handshake = (
        b"GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Twilio-Signature: %s\r\n\r\n"
    )
    known = handshake % HANDSHAKE_SIGNATURE
    start = (
        f'{{"event":"start","sequenceNumber":"1","streamSid":"{STREAM}","start":{{"accountSid":"{ACCOUNT}","streamSid":'
        f'"{STREAM}","callSid":"{CALL}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,'
        f'"channels":1}},"customParameters":{{"token":"{TOKEN.decode()}","stream_no":"1"}}}}}}'
    ).encode()
    connected = frame(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
    at_once, in_pieces = bytes([TOO_EARLY, 0]), bytes([100, 200])
    return [
        at_once + webhook % (len(form), WEBHOOK_SIGNATURE, form),
        at_once + webhook % (len(form), b"A" * 27 + b"=", form),
        in_pieces + webhook % (len(form), WEBHOOK_SIGNATURE, form),
        at_once + b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        at_once + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        at_once + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        at_once + handshake % b"A",
        at_once + known,
        in_pieces + known + connected + frame(start),
        in_pieces + known + connected + frame(start[:40], 0x01) + frame(start[40:], 0x80),
        in_pieces + known + frame(b"ping", 0x89) + frame(start),
        in_pieces + known + frame(b"", 0x89) * 30,
        in_pieces + known + frame(b"\x03\xe8", 0x88),
        in_pieces + known + frame(b"compressed", 0xC1),
        in_pieces + known + b"\x81\xff" + (2**20).to_bytes(8) + bytes(4),
        in_pieces + known + frame(b"\xff"),
        in_pieces + known + frame(b"\x00", 0x82),
        in_pieces + known + frame(b"[" * 100),
    ]


class Pipe(asyncio.Transport):
    """A connection in memory: what is written is kept; its end is told in a turn of its own, as a loop's transports do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol: Any = protocol
        self._closing = False
        self.is_paused = False
        self.written = bytearray()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The address of a stranger."""
        return ("203.0.113.9", 1) if name == "peername" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes to this one from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what comes."""
        return self._protocol  # type: ignore[no-any-return]

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self._closing

    def pause_reading(self) -> None:
        """Nothing comes until `resume_reading`."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """What was sent comes."""
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        if not self._closing:
            self.written += data

    def get_write_buffer_size(self) -> int:
        """Everything is out."""
        return 0

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """The peer closes at once when we do."""
        self.close()

    def close(self) -> None:
        """Close; the protocol is told later."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(lambda: self._protocol.connection_lost(None))

    def abort(self) -> None:
        """The same."""
        self.close()

    def bring(self, piece: bytes) -> None:
        """Something has come."""
        if not self._closing:
            self._protocol.data_received(piece)

    def end(self) -> None:
        """The peer has nothing more to send."""
        if not self._closing and not self._protocol.eof_received():
            self.close()


@dataclass(eq=False)
class Visitor:
    """What the door sees of a connection of Hypercorn's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    config: Any
    head: bytes = b""
    arrival: "Arrival | None" = None


class Street:
    """The door, in front of the webhooks' fuzzed server."""

    def __init__(self) -> None:
        from callbot.server import lingering
        from callbot.server.door import Door
        from callbot.server.guard import GuardedConfig

        vars(lingering)["SETTLED_S"] = 0.0  # the peer here never sends on after its end
        self.exchange = Exchange()
        self.services = self.exchange.services
        self.door = Door(self.services, {rule.rule for rule in self.exchange.app.url_map.iter_rules()})
        self.config = GuardedConfig(10, lambda _reason: None)
        self.config.include_server_header = False

    def token(self) -> bytes:
        """An unused token for the one call that there is."""
        from callbot.store.protocol import StreamGrant

        async def mint() -> str:
            await self.exchange.store.forget(CALL)
            self.exchange.now_s += 2 * 86_400  # longer than the store remembers what is over
            return (await self.exchange.store.mint(StreamGrant(CALL, ACCOUNT, 1), 60.0)).token

        return self.exchange.loop.run_until_complete(mint()).encode()

    def visit(self, pieces: list[bytes]) -> tuple[bool, Visitor, bytes]:
        """Bring the pieces, then the end; whether the door has let them in, and what it wrote."""
        self.exchange.lines.clear()
        return self.exchange.loop.run_until_complete(self._visit(pieces))

    async def _visit(self, pieces: list[bytes]) -> tuple[bool, Visitor, bytes]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        pipe = Pipe(loop, protocol)
        protocol.connection_made(pipe)
        visitor = Visitor(reader, asyncio.StreamWriter(pipe, protocol, reader, loop), self.config)
        async with asyncio.timeout(campaign.INPUT_TIMEOUT_S):
            judged = asyncio.ensure_future(self.door.lets_in(visitor))  # type: ignore[arg-type]
            for piece in pieces:
                pipe.bring(piece)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            pipe.end()
            is_in = await judged
        pipe.abort()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        require(asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind")
        return is_in, visitor, bytes(pipe.written)


@functools.cache
def _street() -> Street:
    return Street()


def check(text: bytes) -> str:
    """One connection; what became of it. Raises on anything that must not happen."""
    street = _street()
    cuts, sent = text[:2].ljust(2, b"\0"), text[2:]
    raw = _with_signatures(sent)
    token = street.token() if TOKEN in raw else b""
    raw = raw.replace(TOKEN, token)
    head_ends = 0 if cuts[0] == TOO_EARLY else raw.find(b"\r\n\r\n") + 4
    places = sorted({0, head_ends, *(cut * len(raw) >> 8 for cut in cuts), len(raw)})
    pieces = [raw[begin:end] for begin, end in itertools.pairwise(places)]
    is_in, visitor, written = street.visit(pieces)
    _judge(street, sent, token, visitor if is_in else None, written)
    answer = _answer(written)
    if visitor.arrival is not None:
        return "in, a call"
    return f"{'in' if is_in else 'refused'} {answer} {[line.get('reason', '') for line in street.exchange.lines][-1:]}"


def _with_signatures(sent: bytes) -> bytes:
    head, _, body = sent.partition(b"\r\n\r\n")
    target = re.match(rb"(?:GET|POST) (/[\x21-\x7e]*) HTTP", head)
    handshake = signatures(SIGNED, b"/ws/twilio", "GET", b"", origin="wss://bot.example")[0][1]
    sent = sent.replace(HANDSHAKE_SIGNATURE, handshake)
    if WEBHOOK_SIGNATURE in sent and target:
        webhook = signatures(SIGNED, target[1], sent.partition(b" ")[0].decode(), body)[0][1]
        sent = sent.replace(WEBHOOK_SIGNATURE, webhook)
    return sent


def _answer(written: bytes) -> int:
    """The answer's status; of a WebSocket the close code, or 101 while it is open."""
    if not written:
        return 0
    match = re.match(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [A-Za-z ]+\r\n(?:[A-Za-z-]+: [^\r\n]*\r\n)+\r\n", written)
    require(match is not None, "an answer is HTTP")
    assert match is not None  # noqa: S101 - required
    rest = written[match.end() :]
    while rest[:1] == b"\x8a":  # a ping's answer
        rest = rest[2 + rest[1] :]
    if not rest:
        return int(match[1])
    require(match[1] == b"101" and rest[0] == 0x88 and rest[1] == len(rest) - 2 >= 2, "behind a handshake comes a close")
    return int.from_bytes(rest[2:4])


def _judge(street: Street, sent: bytes, token: bytes, visitor: Visitor | None, written: bytes) -> None:
    answer = _answer(written)
    require(answer in STATUSES | CLOSES | {0}, f"an answer of a few kinds, not {answer}")
    if visitor is not None:
        arrival = visitor.arrival
        require(bool(visitor.head), "what was read goes in")
        require((arrival is None) == (not written), "nothing was said to whoever goes in, but that a WebSocket is accepted")
        require(arrival is None or HANDSHAKE_SIGNATURE in sent, "no WebSocket is accepted without its signature")
        require(arrival is None or TOKEN in sent, "no call without its token")
        if arrival is None and sent.startswith(b"POST /twi") and not any(word in sent.lower() for word in UNJUDGED):
            require(WEBHOOK_SIGNATURE in sent or b"%" in sent.partition(b" HTTP")[0], "no webhook without its signature")
    said = repr(street.exchange.lines)
    for secret in (AUTH_TOKEN.encode(), GEMINI_KEY.encode(), *([token] if token else [])):
        require(secret not in written and secret.decode() not in said, "no secret comes out")
    require("exception" not in said, "nothing crashes")
    require(len(street.exchange.lines) <= 2, "a connection makes a line")
    require(all(len(str(value)) <= 200 for line in street.exchange.lines for value in line.values()), "lines are short")
    require(street.services.registry.pending == 0, "no place is kept")


def main() -> None:
    """Run one campaign."""

    def load() -> campaign.Check:
        _street()
        return check

    campaign.run("door", load, seeds(), _WORDS.split())


if __name__ == "__main__":
    main()
