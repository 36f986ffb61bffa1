"""How Twilio, or the network, ends a stream's socket: cleanly, in one write, half-way, or not at all."""

from collections.abc import Callable

from callbot.simulators.twilio.app_socket import AppSocket
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.faults import HangUpStyle

STOP_TO_CLOSE_S = 0.05  # "short delay" between stop and close; the true figure is not published
CLOSE_ANSWER_S = 5.0  # real seconds; patience with a socket whose closing handshake does not complete
GONE_POLL_S = 0.05  # how often an abandoned socket is looked at

IMMEDIATE = frozenset({HangUpStyle.RESET, HangUpStyle.SILENCE})  # what has not left by then never will
_WITH_STOP = frozenset({HangUpStyle.STOP_THEN_CLOSE, HangUpStyle.STOP_WITH_CLOSE, HangUpStyle.STOP_WITHOUT_CLOSE})


async def end_socket(
    socket: AppSocket,
    style: HangUpStyle,
    *,
    stop: Callable[[], str],
    close_code: int,
    linger_s: float,
    clock: Clock,
    tell: Callable[[float, str, str], None],
) -> None:
    """End `socket` in the given style and wait until it is really gone.

    A socket that Twilio leaves open (`STOP_WITHOUT_CLOSE`, `SILENCE`) is the app's to end; after `linger_s` it
    is reset and `socket_left_open` noted. `stop` writes the stop message.
    """
    if style in _WITH_STOP:
        tell(clock.now(), "stop", style.value)
    match style:
        case HangUpStyle.STOP_WITH_CLOSE:
            socket.send_close(close_code, stop())
        case HangUpStyle.STOP_THEN_CLOSE:
            socket.send_raw(stop().encode(), binary=False)
            await clock.sleep(STOP_TO_CLOSE_S)
            socket.send_close(close_code)
        case HangUpStyle.CLOSE_WITHOUT_STOP:
            socket.send_close(close_code)
        case HangUpStyle.STOP_WITHOUT_CLOSE:
            socket.send_raw(stop().encode(), binary=False)
            await _leave_open(socket, linger_s, clock, tell)
            return
        case HangUpStyle.SILENCE:
            await _abandon(socket, linger_s, clock, tell)
            return
        case HangUpStyle.RESET:
            socket.reset()
    if not await socket.wait_closed(CLOSE_ANSWER_S):
        tell(clock.now(), "socket_left_open", "by the app, after Twilio's close frame")
        socket.reset()


async def _leave_open(socket: AppSocket, linger_s: float, clock: Clock, tell: Callable[[float, str, str], None]) -> None:
    until_s = clock.now() + linger_s
    while clock.now() < until_s and not socket.is_gone:
        await clock.sleep(GONE_POLL_S)
    if not socket.is_gone:
        tell(clock.now(), "socket_left_open", f"by the app, {linger_s:g} s after the stop message")
        socket.reset()


async def _abandon(socket: AppSocket, linger_s: float, clock: Clock, tell: Callable[[float, str, str], None]) -> None:
    socket.abandon()
    until_s = clock.now() + linger_s
    while clock.now() < until_s and not socket.peer_gave_up():
        await clock.sleep(GONE_POLL_S)
        socket.abandon()  # again: taking the last buffered messages resumes reading
    if socket.peer_gave_up():
        tell(clock.now(), "app_gave_up", "the app ended the silent connection")
    else:
        tell(clock.now(), "socket_left_open", f"by the app, {linger_s:g} s after the line went dead")
    socket.reset()
