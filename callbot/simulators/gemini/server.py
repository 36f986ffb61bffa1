"""The stand-in itself: it listens, answers upgrade requests, and keeps every session for the test to read."""

import asyncio
import http
import logging
import random
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import State

from .connection import Upgrade, WireConnection
from .faults import Abort, Close, Fault, HangUpgrade, Refuse, SlowUpgrade
from .handshake import read_credential, read_path
from .options import StandInOptions
from .resumption import Refusal
from .session import LiveSession
from .session_base import ServerState
from .tls import TlsIdentity, make_identity
from .triggers import OnConnect

# How long a close waits for the peer, in real seconds: long enough for a busy loop, short for a test.
_CLOSE_TIMEOUT_S = 2.0
_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class GeminiStandIn:
    """A Gemini Live server on loopback, as an async context manager.

    Leaving it ends every connection and raises whatever went wrong inside the stand-in itself.
    """

    def __init__(self, options: StandInOptions | None = None) -> None:
        self.options = options or StandInOptions()
        self._sessions: list[LiveSession] = []
        self.upgrades: list[Upgrade] = []  # every upgrade request, refused ones included
        self.tls_failures_left = 0
        self._identity: TlsIdentity | None = None
        self._servers: list[Server] = []
        self._wires: set[WireConnection] = set()
        self._crashes: list[Exception] = []
        self._random = random.Random(self.options.seed)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._ca_path: Path | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        self._state = ServerState(self.options, self._sessions)
        self._stopping = asyncio.Event()
        if self.options.tls:
            self._make_tls()
        self._port = self.options.port
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for server in self._servers:
            server.close(close_connections=False)
        async with asyncio.TaskGroup() as group:
            for wire in list(self._wires):
                # A polite close is for clients that still listen; the others would hold up the end.
                if wire.is_polite and wire.state is State.OPEN:
                    group.create_task(wire.close(1001, "The stand-in is closing."))
                else:
                    wire.transport.abort()
        for server in self._servers:
            await server.wait_closed()
        if self._identity is not None:
            # The callback is a cycle through the context that the garbage collector cannot see: it would keep all of this.
            self._identity.server_context.sni_callback = None
        if self._temporary is not None:
            self._temporary.cleanup()
        if self._crashes and error is None:
            raise ExceptionGroup("the stand-in itself failed", self._crashes)

    # ---- where it is ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def base_url(self) -> str:
        """What to give the SDK as `base_url`."""
        host = "127.0.0.1" if self.options.host in {"0.0.0.0", "::"} else self.options.host
        return f"{'https' if self.options.tls else 'http'}://{host}:{self._port}"

    @property
    def ca_pem_path(self) -> Path:
        """The file with the CA certificate, for `SSL_CERT_FILE`."""
        if self._ca_path is None:
            raise RuntimeError("the stand-in has no CA: it was made with tls=False, or is not running yet")
        return self._ca_path

    def client_ssl_context(self) -> ssl.SSLContext:
        """Return a client context that trusts this stand-in and nothing else."""
        if self._identity is None:
            raise RuntimeError("the stand-in has no CA: it was made with tls=False, or is not running yet")
        return self._identity.client_context()

    # ---- what has happened ---------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[LiveSession]:
        """Every connection that was upgraded, oldest first; open and closed."""
        return self._sessions

    @property
    def connections_open(self) -> int:
        """How many WebSockets are open now."""
        return sum(session.is_open for session in self._sessions)

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Return once `predicate()` is true; it is asked again whenever something has happened.

        Raises:
            TimeoutError: it was still false after `timeout_s` real seconds.
        """
        await self._state.changes.wait_for(predicate, timeout_s)

    # ---- what shall happen ---------------------------------------------------------------------------------

    def inject(self, fault: Fault) -> None:
        """Arm a fault, for open sessions as well as for those to come."""
        self._state.script.add(fault)
        for session in self._sessions:
            if not session.closed and fault in self._state.script.for_connection(session.number):
                session.faults.arm(fault)

    def refuse(self, http_status: int = 503, *, for_connections: int | None = None, retry_after: str | None = None) -> None:
        """Answer the next upgrades (None: all from now on) with an HTTP status."""
        self.inject(Fault(OnConnect(), Refuse(http_status, retry_after), times=for_connections))

    def admit(self) -> None:
        """Refuse no upgrade any more, whatever `refuse` has said."""
        self._state.script.forget(Refuse)

    def fail_tls(self, for_connections: int = 1) -> None:
        """Show the next clients a certificate that they have no reason to trust."""
        self.tls_failures_left = for_connections

    def refuse_handles(self, code: int | None = 1008, reason: str = "BidiGenerateContent session not found") -> None:
        """Refuse every handle at setup with this code; None accepts them again."""
        self._state.handle_refusal = None if code is None else Refusal(code, reason)

    def expire_handles(self) -> None:
        """Make every handle given so far unknown."""
        self._state.handles.expire_all()

    def stop_listening(self) -> None:
        """Refuse new TCP connections; open ones go on."""
        for server in self._servers:
            server.server.close()

    async def listen(self) -> None:
        """Listen, at first or again after `stop_listening`, on the same port."""
        standin = self

        class _Wire(WireConnection):
            def opened(self) -> None:
                standin._wires.add(self)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                standin._wires.discard(self)
                standin._state.changes.notify()

        server = await serve(
            self._handle,
            self.options.host,
            self._port,
            ssl=self._identity.server_context if self._identity else None,
            process_request=self._answer_upgrade,
            compression="deflate" if self.options.compression else None,
            create_connection=_Wire,
            open_timeout=None,  # a hung upgrade hangs until the client gives up
            ping_interval=None,  # the service is not known to send pings
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=None,
            server_header=None,
            logger=_quiet_logger(),
        )
        self._servers.append(server)
        self._port = server.sockets[0].getsockname()[1]

    # ---- connections ---------------------------------------------------------------------------------------

    async def _handle(self, wire: object) -> None:
        assert isinstance(wire, WireConnection)
        session = LiveSession(self._state, wire)
        self._sessions.append(session)
        self._state.changes.notify()
        try:
            await session.run()
        except* Exception as failed:
            self._crashes.append(failed)
            raise

    async def _answer_upgrade(self, wire: object, request: Request) -> Response | None:
        assert isinstance(wire, WireConnection)
        upgrade = Upgrade(len(self.upgrades) + 1, request.path, headers=tuple(request.headers.raw_items()))
        self.upgrades.append(upgrade)
        wire.upgrade = upgrade
        response = await self._decide(wire, upgrade, request)
        upgrade.status = response.status_code if response else 101
        self._state.changes.notify()
        return response

    async def _decide(self, wire: WireConnection, upgrade: Upgrade, request: Request) -> Response | None:
        options, script = self.options, self._state.script
        least_s, most_s = options.connect_latency_s
        if most_s > 0:
            await self._state.clock.sleep(self._random.uniform(least_s, most_s))
        for fault in script.for_connection(upgrade.number):
            if isinstance(fault.at, OnConnect) and script.take(fault):
                match fault.do:
                    case Refuse(status, retry_after, body, location):
                        return _refusal(status, body, retry_after=retry_after, location=location)
                    case HangUpgrade():
                        await self._stopping.wait()
                        wire.abort()
                    case SlowUpgrade(delay_s):
                        await self._state.clock.sleep(delay_s)
                    case Abort(reset):
                        wire.abort(reset=reset)
                    case Close():
                        wire.early_close = fault.do
        place = read_path(request.path)
        if place is None:
            return _refusal(404)
        upgrade.mode, upgrade.version = place
        upgrade.credential = read_credential(request)
        if options.bad_key != "close" and not self._state.admits(upgrade.credential, upgrade.path):
            return _refusal(int(options.bad_key))
        if options.max_sessions is not None and options.over_cap == "429":
            # Granted but not yet listed upgrades count too, or two at once would both get the last place.
            granted = sum(w.state is State.OPEN or w.upgrade_granted for w in self._wires)
            if granted >= options.max_sessions:
                return _refusal(429)
        wire.upgrade_granted = True
        return None

    # ---- TLS -----------------------------------------------------------------------------------------------

    def _make_tls(self) -> None:
        self._identity = identity = make_identity(self.options.host)

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            if self.tls_failures_left > 0:
                self.tls_failures_left -= 1
                connection.context = identity.impostor_context

        identity.server_context.sni_callback = choose  # called for clients that name no server, too
        if self.options.ca_path is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gemini-stand-in-")
            self._ca_path = Path(self._temporary.name) / "ca.pem"
        else:
            self._ca_path = self.options.ca_path
        identity.write_ca(self._ca_path)


def _refusal(status: int, body: str = "", *, retry_after: str | None = None, location: str | None = None) -> Response:
    phrase = http.HTTPStatus(status).phrase
    payload = (body or f'{{"error":{{"code":{status},"status":"{_ERRORS.get(status, phrase)}"}}}}').encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(payload))})
    headers["Connection"] = "close"
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    if location is not None:
        headers["Location"] = location
    return Response(status, phrase, headers, payload)


def _quiet_logger() -> logging.Logger:
    # Clients that break off are what this server is for; only its own failures are worth a line.
    logger = logging.getLogger(f"{__name__}.wire")
    logger.setLevel(logging.CRITICAL)
    return logger
