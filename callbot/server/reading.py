"""A request as it comes to the door: its head, then its body, cut by httptools (llhttp, the parser of Node.js).

Hypercorn's own parser is Python and was a third of what a refusal cost. The two need not agree on everything: whoever comes
in is read by Hypercorn's again, from the first byte.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httptools

from callbot.server.stream import raw_target
from callbot.server.tap import has_unread
from callbot.server.turnstile import Turnstile
from callbot.server.webhooks import Headers, WebhookRefused

_READ_BYTES: Final = 2**18  # more than a reader of asyncio's ever holds, so nothing is left in it
_PREFACE: Final = b"PRI * HTTP/2.0\r\n"  # RFC 9113, 3.4
_VERSIONS: Final = frozenset({"HTTP/1.0", "HTTP/1.1"})


class BadRequest(Exception):
    """What came is no request, or not one within the limits. `reason` is one of our own words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class PeerGone(Exception):
    """There is nobody left to answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request. `path` and `query` as they came; `route` is the path as routes have it; header names are small."""

    method: str
    path: str
    query: str
    route: str
    headers: Headers
    http_version: str


class Reading:
    """One request. `raw` is every byte of it, and what came behind."""

    def __init__(self, reader: asyncio.StreamReader, turnstile: Turnstile, max_header_bytes: int) -> None:
        self._reader = reader
        self._turnstile = turnstile
        self._max_header_bytes = max_header_bytes
        self._heard = _Heard()
        self._parser = httptools.HttpRequestParser(self._heard)
        self._left_over = False
        self.raw = bytearray()

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come: then there is nothing left to drop."""
        return self._heard.is_whole

    @property
    def waits_to_be_asked(self) -> bool:
        """Whether the peer keeps its body back until it is told to go on."""
        heard = self._heard
        return not (heard.is_whole or heard.body) and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in heard.headers
        )

    @property
    def has_left_over(self) -> bool:
        """Whether something has come behind the request."""
        return self._left_over or has_unread(self._reader)

    async def head(self) -> Asked:
        """The head. Raises `BadRequest`, also for HTTP/2's, or `PeerGone`."""
        heard = self._heard
        while not heard.has_head:
            if len(self.raw) > self._max_header_bytes:
                raise BadRequest(431, "headers_too_large")
            try:
                await self._more()
            except httptools.HttpParserError:
                if self.raw.startswith(_PREFACE):
                    raise BadRequest(505, "http_2") from None
                raise BadRequest(400, "bad_request") from None
        line = bytes(self.raw).lstrip(b"\r\n").partition(b"\r\n")[0].decode("latin-1").split(" ")
        hosts = sum(name == b"host" for name, _ in heard.headers)
        # HTTP/1.1 wants one Host (RFC 9112, 3.2); Hypercorn's parser says the same.
        if len(line) != 3 or line[2] not in _VERSIONS or hosts > 1 or hosts < (line[2] == "HTTP/1.1"):
            raise BadRequest(400, "bad_request")
        target, _, query = line[1].partition("?")
        path, query = raw_target(target.encode("latin-1"), query.encode("latin-1"))
        return Asked(line[0], path, query, unquote(path), heard.headers, line[2].removeprefix("HTTP/"))

    async def body(self, max_bytes: int) -> bytes:
        """The body; raises `WebhookRefused` when it is too large, before it is whole, and `BadRequest` or `PeerGone`."""
        heard = self._heard
        while not heard.is_whole and len(heard.body) <= max_bytes:
            try:
                await self._more()
            except httptools.HttpParserError:
                raise BadRequest(400, "bad_request") from None
        if len(heard.body) > max_bytes:
            raise WebhookRefused(413, "body_too_large")
        return bytes(heard.body)

    async def _more(self) -> None:
        waits = not has_unread(self._reader)
        piece = await self._next_piece()
        if waits:
            await self._turnstile.next_turn()
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._left_over = upgrade.args[0] < len(piece)
        except httptools.HttpParserError:
            if not self._heard.is_whole:
                raise
            self._left_over = True

    async def _next_piece(self) -> bytes:
        """What comes next; of a head its first piece, then all of it: one that drips is not looked at byte by byte."""
        begun = len(self.raw)
        while True:
            chunk = await self._reader.read(_READ_BYTES)
            if not chunk:
                raise PeerGone
            seen = max(0, len(self.raw) - 3)
            self.raw += chunk
            ends = b"\n\r\n" in self.raw[seen:]
            if ends or not begun or self._heard.has_head or len(self.raw) > self._max_header_bytes:
                return bytes(self.raw[begun:])


class _Heard:
    """What the parser has told of the first request; a second one behind it is nobody's."""

    __slots__ = ("body", "has_head", "headers", "is_whole")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.has_head = False
        self.body = bytearray()
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:
            self.headers.append((name.lower(), value.strip(b" \t")))  # as RFC 9112, 5.1, has it

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        if not self.is_whole:
            self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True
