"""The Quart app: its routes, what every answer has in common, and what strangers see of a fault, which is nothing."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Quart, Request, Response, Websocket, request, websocket
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException

from callbot.server.calls.stream import carry_stream
from callbot.server.http import twiml
from callbot.server.http.trace import follow_trace
from callbot.server.http.webhooks import (
    Fields,
    Headers,
    WebhookRefused,
    answer_call,
    answer_next,
    read_signed,
    take_status,
)
from callbot.server.limits.newcomers import NewcomerBudget
from callbot.server.limits.refusals import RefusalKind
from callbot.server.services import ServerServices
from callbot.server.transport.websocket import DirectConnection, MediaWebsocket

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FORWARDING_HEADERS = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"via"})
STREAM_PATH = "/ws/twilio"


class CallbotApp(Quart):
    """Quart with the lean WebSocket connection and with our log in place of its own."""

    asgi_websocket_class = DirectConnection
    websocket_class = MediaWebsocket

    def __init__(self, log: FilteringBoundLogger, newcomers: NewcomerBudget | None = None) -> None:
        super().__init__("callbot", static_folder=None)
        self._log = log
        self._newcomers = newcomers

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """A target that is no path, such as `*` or a bare query, is an unknown path; Quart would fail on it."""
        if scope["type"] in {"http", "websocket"} and not str(cast("dict[str, Any]", scope)["path"]).startswith("/"):
            scope = cast("Scope", {**scope, "path": "/-"})
        served = super().asgi_app(scope, receive, send)
        if self._newcomers is None or scope["type"] == "lifespan":
            await served
        else:
            await self._newcomers.metered(served)

    def log_exception(
        self, ctx: Any, exception_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        """A fault of a route: into our log, whole; the client gets an empty 500."""
        path = ctx.request.path if ctx.has_request else ""
        self._log.error("server.crashed", path=path[:128], exc_info=exception_info)


def create_app(services: ServerServices) -> Quart:
    """The app that serves Twilio: webhooks, the stream's WebSocket, and what a platform asks of a service."""
    app = CallbotApp(services.log, services.newcomers)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_form_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # its redirect would be built from the Host header
    _add_twilio_routes(app, services)
    _add_service_routes(app, services)

    @app.before_request
    async def limit_request_headers() -> Response | None:
        follow_trace(request.scope["headers"], services.settings.google_cloud_project)
        return _too_much_header(services, "webhook", request)

    @app.before_websocket
    async def limit_handshake_headers() -> Response | None:
        follow_trace(websocket.scope["headers"], services.settings.google_cloud_project)
        return _too_much_header(services, "stream", websocket)

    @app.errorhandler(HTTPException)
    async def refuse_plainly(error: HTTPException) -> Response:
        return Response(b"", error.code or 500)

    @app.after_request
    async def add_headers(response: Any) -> Any:
        response.headers.update(SECURITY_HEADERS)
        return response

    return app


def _add_twilio_routes(app: Quart, services: ServerServices) -> None:
    async def answered(answer: Callable[[Fields], Awaitable[str]]) -> Response:
        try:
            fields = await read_signed(services, request)
            await services.newcomers.turn()
            document = await answer(fields)
            await services.newcomers.turn()
            return Response(document, content_type="text/xml; charset=utf-8")
        except WebhookRefused as refusal:
            services.note_refusal("webhook", refusal.reason, status=refusal.status, path=request.path)
            return Response(b"", refusal.status)

    @app.post(twiml.CALL_PATH)
    async def incoming_call() -> Response:
        return await answered(lambda fields: answer_call(services, fields))

    @app.post(twiml.NEXT_PATH)
    async def stream_ended() -> Response:
        query = bytes(request.query_string).decode("latin-1")
        return await answered(lambda fields: answer_next(services, fields, query))

    @app.route(twiml.STATUS_PATH, methods=["GET", "POST"])
    async def status_callback() -> Response:
        try:
            await take_status(services, await read_signed(services, request))
        except WebhookRefused as refusal:
            services.note_refusal("webhook", refusal.reason, status=refusal.status, path=request.path)
            return Response(b"", refusal.status)
        return Response(b"", 204)

    @app.websocket(STREAM_PATH)
    async def media_stream() -> Response | None:
        # The object itself, once: the proxy would be resolved for each message.
        return await carry_stream(services, cast("MediaWebsocket", websocket._get_current_object()))  # noqa: SLF001


def _add_service_routes(app: Quart, services: ServerServices) -> None:
    @app.get("/healthz")
    async def alive() -> Response:
        """The event loop runs; nothing else is asked, because a failure ends every call of the instance."""
        return Response("ok\n", content_type="text/plain")

    @app.get("/readyz")
    async def ready() -> Response:
        draining = services.registry.draining
        return Response("draining\n" if draining else "ready\n", 503 if draining else 200, content_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        client = request.scope.get("client")
        refusal = metrics_refusal(services, list(request.scope["headers"]), client[0] if client else "")
        if refusal is not None:
            services.note_refusal("webhook", refusal.reason, path="/metrics")
            return Response(b"", refusal.status, {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {})
        ask_all = services.all_figures
        figures = generate_latest(services.metrics.registry) if ask_all is None else await ask_all()
        return Response(figures, content_type=CONTENT_TYPE_LATEST)


def _too_much_header(services: ServerServices, kind: RefusalKind, asked: Request | Websocket) -> Response | None:
    if not headers_too_large(services, list(asked.scope["headers"])):
        return None
    services.note_refusal(kind, "headers_too_large", status=431)
    return Response(b"", 431)


def headers_too_large(services: ServerServices, headers: Headers) -> bool:
    """Twilio's headers are under 2 kB. Hypercorn's own limit holds only for a block that comes in pieces."""
    return sum(len(name) + len(value) for name, value in headers) > services.settings.max_header_bytes


@dataclass(frozen=True, slots=True)
class MetricsRefusal:
    """Why somebody may not see the metrics, and the answer's status."""

    status: int
    reason: str


def metrics_refusal(services: ServerServices, headers: Headers, client: str) -> MetricsRefusal | None:
    """With a token: whoever shows it. Without one: this machine only, not through a proxy, and never on Cloud Run.

    `client` is the address that the connection comes from; empty when nobody knows.
    """
    token = services.settings.metrics_token
    if token is not None:
        shown = next((value for name, value in headers if name.lower() == b"authorization"), b"")
        wanted = b"Bearer " + token.get_secret_value().encode()
        return None if hmac.compare_digest(shown, wanted) else MetricsRefusal(401, "metrics_token")
    # A proxy or tunnel on this machine makes every stranger's request come from loopback.
    forwarded = any(name.lower() in FORWARDING_HEADERS for name, _ in headers)
    if client and _is_loopback(client) and not forwarded and not services.settings.k_service:
        return None
    return MetricsRefusal(404, "metrics_not_local")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
