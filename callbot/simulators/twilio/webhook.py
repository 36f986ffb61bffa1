"""Twilio's HTTP side: signed form requests with its time limits, retries, redirects and cookies.

Sources: Twilio's pages "Webhooks security" and "Webhooks connection overrides". A request has 15 s, all
tries included, 5 s to connect, and one retry, which happens only when no connection came about.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urldefrag, urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from callbot.simulators.twilio.addresses import Addresses
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.faults import BadSignature, WrongSignature
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.records import Exchange
from callbot.simulators.twilio.signing import signature

MAX_REDIRECTS = 10
MAX_BODY_BYTES = 1 << 20
HTTP_FAILURE, CONNECTION_FAILURE, BAD_HOST, TOO_MANY_REDIRECTS, TLS_FAILURE = 11200, 11205, 11210, 11215, 11220

type Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Overrides:
    """Limits of one request; the URL's fragment may change them (`#rc=2&rp=5xx,ct&ct=500&rt=2000&tt=9000`)."""

    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})
    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0

    @classmethod
    def of(cls, url: str) -> Self:
        """Read the fragment of `url`."""
        given = {name: values[-1] for name, values in parse_qs(urlsplit(url).fragment).items()}

        def seconds(name: str, lowest_ms: int, highest_ms: int) -> float:
            text = given.get(name, "")
            return min(max(int(text), lowest_ms), highest_ms) / 1000 if text.isdigit() else highest_ms / 1000

        retries = given.get("rc", "1")
        return cls(
            min(int(retries), 5) if retries.isdigit() else 1,
            frozenset(given.get("rp", "ct").split(",")),
            seconds("ct", 100, 10_000) if "ct" in given else 5.0,
            seconds("rt", 100, 15_000),
            seconds("tt", 100, 15_000),
        )

    def retries_after(self, *, connected: bool, timed_out: bool, status: int) -> bool:
        """Whether this kind of failure is tried again."""
        if not connected:
            kind = "ct"
        elif timed_out:
            kind = "rt"
        else:
            kind = f"{status // 100}xx"
        return "all" in self.policy or kind in self.policy


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int = 0
    content_type: str = ""
    body: str = ""
    location: str = ""
    connected: bool = True
    timed_out: bool = False
    code: int = 0
    error: str = ""


class WebhookClient:
    """Sends one call's requests. Cookies live as long as the call."""

    def __init__(
        self,
        options: CarrierOptions,
        addresses: Addresses,
        clock: Clock,
        rng: random.Random,
        wrong: Iterable[WrongSignature] = (),
    ) -> None:
        self._options = options
        self._addresses = addresses
        self._clock = clock
        self._rng = rng
        self._wrong: dict[str, BadSignature] = {fault.where: fault.kind for fault in wrong}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # the app's address is a number, not a name
            auto_decompress=True,
            connector=aiohttp.TCPConnector(force_close=True),  # another request, another connection
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def sign(self, where: str, url: str, fields: Fields = ()) -> str | None:
        """Return the signature header's value, or the wrong one that a fault asks for (None: no header)."""
        token = self._options.auth_token
        match self._wrong.get(where):
            case None:
                return signature(token, url, fields)
            case BadSignature.MISSING:
                return None
            case BadSignature.WRONG:
                return signature(token, url + "/wrong", fields)
            case BadSignature.TRAILING_SLASH:
                return signature(token, url + "/", fields)
            case BadSignature.PREVIOUS:
                return signature(self._options.old_auth_token, url, fields)
            case BadSignature.WRONG_SCHEME:
                other = {"wss": "https", "https": "http", "http": "https", "ws": "http"}
                scheme, _, rest = url.partition("://")
                return signature(token, f"{other[scheme]}://{rest}", fields)

    async def send(self, kind: str, url: str, method: str, fields: Fields) -> Exchange:
        """Send `fields` to the public `url`, following redirects. Never raises for what the app does."""
        began_s = self._clock.now()
        limits = Overrides.of(url)
        token = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        attempts = 0
        asked = urldefrag(url).url
        answer = _Answer(code=TOO_MANY_REDIRECTS, error=f"more than {MAX_REDIRECTS} redirects")
        try:
            async with asyncio.timeout(limits.total_s):
                for _ in range(MAX_REDIRECTS + 1):
                    for _ in range(1 + limits.retries):
                        attempts += 1
                        answer = await self._once(kind, asked, method, fields, limits=limits, token=token)
                        failed = bool(answer.code)
                        if not failed or not limits.retries_after(
                            connected=answer.connected, timed_out=answer.timed_out, status=answer.status
                        ):
                            break
                    if not answer.location:
                        break
                    asked = urldefrag(urljoin(asked, answer.location)).url
                    method = method if answer.status in (307, 308) else "GET"
                    answer = _Answer(code=TOO_MANY_REDIRECTS, error=f"more than {MAX_REDIRECTS} redirects")
        except TimeoutError:
            answer = _Answer(code=CONNECTION_FAILURE, error=f"no complete answer within {limits.total_s:g} s")
        return Exchange(
            kind,
            method,
            asked,
            tuple(fields),
            began_s,
            self._clock.now() - began_s,
            attempts,
            answer.status,
            answer.content_type,
            answer.body,
            answer.code,
            answer.error,
        )

    async def _once(self, kind: str, url: str, method: str, fields: Fields, *, limits: Overrides, token: str) -> _Answer:
        assert self._session is not None
        address = self._addresses.find(url)
        if address is None:
            host = urlsplit(url).netloc
            return _Answer(connected=False, code=BAD_HOST, error=f"{host} is not reachable from this stand-in")
        body: bytes | None = None
        if method == "GET":
            url += ("&" if urlsplit(url).query else "?") + urlencode(fields)
            signed = self.sign(kind, url)
        else:
            body = urlencode(fields).encode()
            signed = self.sign(kind, url, fields)
        parts = urlsplit(url)
        headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "Cache-Control": "max-age=259200",
            "I-Twilio-Idempotency-Token": token,
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if signed is not None:
            headers["X-Twilio-Signature"] = signed
        path = parts.path or "/"
        target = URL(address + path + (f"?{parts.query}" if parts.query else ""), encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.read_s)
        try:
            async with self._session.request(
                method,
                target,
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._options.tls or True,
            ) as response:
                raw = await response.content.read(MAX_BODY_BYTES)
                return _read_answer(response, raw)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            return _Answer(connected=False, code=TLS_FAILURE, error=f"TLS failed: {error}")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return _Answer(connected=False, code=CONNECTION_FAILURE, error=f"no connection: {error}")
        except TimeoutError:
            return _Answer(timed_out=True, code=CONNECTION_FAILURE, error="the answer took too long")
        except aiohttp.ClientError as error:
            text = f"the connection broke or the answer is not HTTP: {error or type(error).__name__}"
            return _Answer(code=HTTP_FAILURE, error=text)


def _read_answer(response: aiohttp.ClientResponse, raw: bytes) -> _Answer:
    status = response.status
    location = response.headers.get("Location", "") if status in (301, 302, 303, 307, 308) else ""
    failed = status >= 400 or (300 <= status < 400 and not location)
    return _Answer(
        status,
        response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        raw.decode("utf-8", errors="replace"),
        location,
        code=HTTP_FAILURE if failed else 0,
        error=f"the app answered HTTP {status}" if failed else "",
    )
