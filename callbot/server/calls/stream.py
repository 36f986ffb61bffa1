"""The WebSocket route: admit the stream, carry its call, close the socket whatever happens."""

import asyncio

from quart import Response
from werkzeug.datastructures import Headers

from callbot.actors.ports import StreamClosed
from callbot.messages.call import StreamStarted
from callbot.server.calls.admission import StreamRefused, admit, check_handshake
from callbot.server.calls.socket import QuartStreamSocket
from callbot.server.http.target import raw_target
from callbot.server.limits.buckets import stream_bucket
from callbot.server.services import ServerServices
from callbot.server.transport.websocket import EarlyData, MediaWebsocket

NORMAL = 1000
GOING_AWAY = 1001
INTERNAL_ERROR = 1011


async def carry_stream(services: ServerServices, websocket: MediaWebsocket) -> Response | None:
    """Serve one WebSocket to its end. A response refuses the handshake; None says that the socket was accepted."""
    path, query = raw_target(websocket.scope["raw_path"], websocket.scope["query_string"])
    refused = check_handshake(services, list(websocket.scope["headers"]), path, query)
    if refused is not None:
        services.note_refusal("stream", refused.reason, status=refused.status)
        return Response(b"", refused.status, Headers())

    def note_limit(reason: str) -> None:
        services.note_refusal("stream", reason, **({"call_sid": started.call_sid} if started else {}))

    started: StreamStarted | None = None
    socket = QuartStreamSocket(
        websocket,
        max_message_bytes=services.settings.max_message_bytes,
        bucket=stream_bucket(services.settings.max_messages_per_s, services.clock),
        max_json_depth=services.settings.max_json_depth,
        on_refused=note_limit,
    )
    websocket.on_cut_off = socket.cut_off
    try:
        with services.registry.waiting():
            await websocket.accept()
            await services.newcomers.turn()
            started = await admit(services, socket)
            _check_backlog(started, socket)
        websocket.admitted()
        await _carry_call(services, started, socket)
    except EarlyData:
        services.note_refusal("stream", "early_data", status=400)
        return Response(b"", 400, Headers())
    except StreamRefused as refusal:
        services.note_refusal("stream", refusal.reason, **refusal.context)
        await socket.close(refusal.code, refusal.reason)
    except StreamClosed:
        services.log.info("stream.closed", reason="before_start")
    except asyncio.CancelledError:
        await socket.close(GOING_AWAY, "going away")
        raise
    finally:
        websocket.on_cut_off = None
    return None


def _check_backlog(started: StreamStarted, socket: QuartStreamSocket) -> None:
    """Raises `StreamRefused` for a flood that has come with its `start`: nothing is opened for it."""
    if socket.is_flooded:
        raise StreamRefused("flood", call_sid=started.call_sid)


async def _carry_call(services: ServerServices, started: StreamStarted, socket: QuartStreamSocket) -> None:
    """Run the call. Its crash is its own: logged with what identifies it, counted, the socket closed with 1011."""
    log = services.log.bind(call_sid=started.call_sid, stream_sid=started.stream_sid)
    try:
        handle = services.call_factory(started, socket)
        with services.registry.carrying(started, socket, handle):
            await services.newcomers.turn()
            await handle.run()
    except Exception:  # the one place where a call's fault stops, so that it touches no other call
        services.metrics.crashes.inc()
        log.exception("call.crashed", stream_no=started.stream_no)
        await socket.close(INTERNAL_ERROR, "internal error")
    else:
        await socket.close(NORMAL, "")
