"""From a handshake to an admitted stream: what must be shown, in which order, and within which time.

Before accepting: the signature, that the process takes calls, that there is a place. After it: `start` within
`start_timeout_s`, its SIDs by pattern, its token. Nothing that costs money happens before all of it has passed, and a
missing token is never made up for by "the most recent call", which would join strangers.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending
from callbot.server.calls.callers import clean_text
from callbot.server.services import ServerServices
from callbot.store.protocol import StreamGrant, TokenOutcome
from callbot.wire.twilio import (
    Connected,
    Media,
    MediaFormat,
    Start,
    Unreadable,
    decode,
    is_account_sid,
    is_call_sid,
    is_stream_sid,
)

MAX_BEFORE_START = 8  # Twilio sends one message, `connected`, before `start`
PARAMETER_LIMIT = 500  # characters; Twilio's own limit for a name with its value

OUR_PARAMETERS = frozenset({"token", "stream_no"})

MULAW = frozenset({"audio/x-mulaw", "audio/mulaw", "audio/pcmu"})  # Twilio's name, and the registered one (RFC 4856)

POLICY_VIOLATION = 1008
UNSUPPORTED = 1003
TRY_AGAIN_LATER = 1013


@dataclass(frozen=True, slots=True)
class HandshakeRefused:
    """A handshake answered with `status`, before accepting."""

    status: int
    reason: str


class StreamRefused(Exception):
    """An accepted socket that will not become a call. `reason` is stable and holds nothing of the peer's."""

    def __init__(self, reason: str, code: int = POLICY_VIOLATION, **context: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.context = context


class MessageSource(Protocol):
    """An accepted WebSocket, as far as it must show something."""

    async def receive(self) -> str | bytes:
        """The next message; raises `StreamClosed` after the last one."""
        ...


def check_handshake(
    services: ServerServices, headers: list[tuple[bytes, bytes]], path: str, query: str
) -> HandshakeRefused | None:
    """Whether this handshake may be accepted. A stranger learns from the answer only that it is a stranger."""
    fault = services.signatures.handshake(headers, path, query)
    if fault is not None:
        return HandshakeRefused(403, fault)
    if services.registry.draining:
        return HandshakeRefused(503, "draining")
    if services.registry.full:
        return HandshakeRefused(503, "too_many_calls")
    if services.registry.too_many_pending:
        return HandshakeRefused(503, "too_many_unauthenticated")
    return None


async def admit(services: ServerServices, socket: MessageSource) -> StreamStarted:
    """The stream that the socket has proved to be; raises `StreamRefused`, or `StreamClosed` when the peer has gone."""
    try:
        async with asyncio.timeout(services.settings.start_timeout_s):
            start = await _read_start(socket)
            grant = await _redeem(services, start)
    except TimeoutError:
        raise StreamRefused("start_timeout") from None
    if 0 < services.registry.stream_no_of(grant.call_sid) < grant.stream_no:
        # Only a signed /twiml/next has a token for a later stream: Twilio knows that the older stream is over.
        await services.registry.displace(grant.call_sid)
        # What the older stream noted while it was ended is not how this one ends.
        services.store.record_ending(grant.call_sid, Ending.CONTINUE)
    _check_place(services, grant.call_sid, grant.stream_no)
    return StreamStarted(
        call_sid=grant.call_sid,
        stream_sid=start.stream_sid,
        account_sid=grant.account_sid,
        at_s=services.clock(),
        caller=grant.caller,
        stream_no=grant.stream_no,
        parameters={
            clean_text(name): clean_text(value, PARAMETER_LIMIT)
            for name, value in start.custom_parameters.items()
            if name not in OUR_PARAMETERS
        },
    )


def _check_place(services: ServerServices, call_sid: str, stream_no: int) -> None:
    """Whether this process can carry the stream now; raises `StreamRefused`."""
    if services.registry.stream_no_of(call_sid):
        raise StreamRefused("second_stream", call_sid=call_sid, stream_no=stream_no)
    if services.registry.draining:
        raise StreamRefused("draining", TRY_AGAIN_LATER, call_sid=call_sid)
    if services.registry.full:
        raise StreamRefused("too_many_calls", TRY_AGAIN_LATER, call_sid=call_sid)


async def _read_start(socket: MessageSource) -> Start:
    for _ in range(MAX_BEFORE_START):
        match decode(await socket.receive()):
            case Start() as start:
                _check_format(start)
                return start
            case Connected() | Media() | Unreadable(fault="unknown_event"):
                continue  # media before `start` is nobody's yet
            case Unreadable(fault="binary"):
                raise StreamRefused("binary", UNSUPPORTED)
            case Unreadable():
                raise StreamRefused("unreadable")
            case _:
                raise StreamRefused("not_started")
    raise StreamRefused("not_started")


def _check_format(start: Start) -> None:
    """Raises `StreamRefused` for audio that is not mu-law, 8 kHz, mono: played as such it would be noise."""
    given, usual = start.media_format, MediaFormat()
    if given.encoding.lower() not in MULAW or (given.rate_hz, given.channels) != (usual.rate_hz, usual.channels):
        raise StreamRefused(
            "media_format",
            UNSUPPORTED,
            call_sid=start.call_sid if is_call_sid(start.call_sid) else "",
            encoding=clean_text(given.encoding, 40),
            rate_hz=given.rate_hz,
            channels=given.channels,
        )


async def _redeem(services: ServerServices, start: Start) -> StreamGrant:
    if not (is_call_sid(start.call_sid) and is_stream_sid(start.stream_sid) and is_account_sid(start.account_sid)):
        raise StreamRefused("bad_sid")
    ours = services.settings.twilio_account_sid
    if ours and start.account_sid != ours:
        raise StreamRefused("wrong_account", call_sid=start.call_sid)
    token = start.custom_parameters.get("token", "")
    if not token:
        raise StreamRefused("token_missing", call_sid=start.call_sid)
    stream_no = start.custom_parameters.get("stream_no", "")
    shown = await services.store.consume(
        token,
        call_sid=start.call_sid,
        account_sid=start.account_sid,
        stream_no=int(stream_no) if stream_no.isdecimal() and stream_no.isascii() and len(stream_no) < 4 else 0,
    )
    if shown.outcome is not TokenOutcome.ACCEPTED or shown.grant is None:
        raise StreamRefused(f"token_{shown.outcome}", call_sid=start.call_sid)
    return shown.grant
