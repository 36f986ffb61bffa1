"""The Quart app: its routes, what every answer has in common, and what strangers see of a fault, which is nothing."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Quart, Request, Response, Websocket, request, websocket
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException

from callbot.server import twiml
from callbot.server.connection import DirectConnection, MediaWebsocket
from callbot.server.refusals import RefusalKind
from callbot.server.services import ServerServices
from callbot.server.stream import carry_stream
from callbot.server.trace import follow_trace
from callbot.server.webhooks import (
    Fields,
    WebhookRefused,
    answer_call,
    answer_next,
    read_signed,
    take_status,
)

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via")


class CallbotApp(Quart):
    """Quart with the lean WebSocket connection and with our log in place of its own."""

    asgi_websocket_class = DirectConnection
    websocket_class = MediaWebsocket

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__("callbot", static_folder=None)
        self._log = log

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """A target that is no path, such as `*` or a bare query, is an unknown path; Quart would fail on it."""
        if scope["type"] in {"http", "websocket"} and not str(cast("dict[str, Any]", scope)["path"]).startswith("/"):
            scope = cast("Scope", {**scope, "path": "/-"})
        await super().asgi_app(scope, receive, send)

    def log_exception(
        self, ctx: Any, exception_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        """A fault of a route: into our log, whole; the client gets an empty 500."""
        path = ctx.request.path if ctx.has_request else ""
        self._log.error("server.crashed", path=path[:128], exc_info=exception_info)


def create_app(services: ServerServices) -> Quart:
    """The app that serves Twilio: webhooks, the stream's WebSocket, and what a platform asks of a service."""
    app = CallbotApp(services.log)
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
            return Response(await answer(await read_signed(services, request)), content_type="text/xml; charset=utf-8")
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

    @app.websocket("/ws/twilio")
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
        refused = _metrics_refused(services, request)
        if refused is not None:
            return refused
        ask_all = services.all_figures
        figures = generate_latest(services.metrics.registry) if ask_all is None else await ask_all()
        return Response(figures, content_type=CONTENT_TYPE_LATEST)


def _too_much_header(services: ServerServices, kind: RefusalKind, asked: Request | Websocket) -> Response | None:
    """Twilio's headers are under 2 kB. Hypercorn's own limit holds only for a block that comes in pieces."""
    if sum(len(name) + len(value) for name, value in asked.scope["headers"]) <= services.settings.max_header_bytes:
        return None
    services.note_refusal(kind, "headers_too_large", status=431)
    return Response(b"", 431)


def _metrics_refused(services: ServerServices, asked: Request) -> Response | None:
    """With a token: whoever shows it. Without one: this machine only, not through a proxy, and never on Cloud Run."""
    token = services.settings.metrics_token
    if token is not None:
        shown = asked.headers.get("Authorization", "").encode("latin-1", "replace")
        if hmac.compare_digest(shown, b"Bearer " + token.get_secret_value().encode()):
            return None
        services.note_refusal("webhook", "metrics_token", path="/metrics")
        return Response(b"", 401, {"WWW-Authenticate": "Bearer"})
    client = asked.scope.get("client")
    # A proxy or tunnel on this machine makes every stranger's request come from loopback.
    forwarded = any(name in asked.headers for name in FORWARDING_HEADERS)
    if client and _is_loopback(client[0]) and not forwarded and not services.settings.k_service:
        return None
    services.note_refusal("webhook", "metrics_not_local", path="/metrics")
    return Response(b"", 404)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
