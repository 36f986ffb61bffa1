"""The link to the model breaks in mid-speech: the call goes on, and of the caller's words nothing is missing or doubled.

The caller says noise, each call its own, so every 20 ms are recognisable; what the sessions of a call received, put
together, has to be what one converter makes of everything that the caller said, bit by bit.
"""

import asyncio
import os
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf

import pytest

from callbot.audio.resample import CallerUpsampler
from callbot.simulators.gemini import LiveSession, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.exchange import Exchange, exchange

pytestmark = pytest.mark.live

FRAME = 20 * 16 * 2  # bytes of 20 ms at the model
WORDS_S = 2.5
# Until the link has broken the caller does not stop; a busy machine takes its time over a dozen calls.
ENDLESS_S = 60.0
ANSWER = tone(700.0, 0.2)
# 250 ms are for a service in trouble; here it is well again at once.
FAST = {"greeting": "", "reconnect_backoff_ms": 40, "reconnect_backoff_max_ms": 200}

type Breaking = Callable[[LiveSession], Awaitable[object]]


# One frame in a record of TLS 1.3: its base64. JSON, the head of the WebSocket frame and the tag are less than half as much.
FRAME_IN_BASE64 = FRAME // 3 * 4
RECORD_HEAD = struct.Struct("!BHH")
MOST_MISSED = 50  # frames; less than a second is dropped after 1007
# Beyond those: a write that meets the cut on its way.
LAST_FRAME = 1


async def cut(unread: dict[int, int], session: LiveSession, *, reset: bool) -> None:
    """End the TCP connection without a close frame, and count the frames that the service's machine had and nobody read.

    A second descriptor holds the connection while the stand-in drops its own; from the last read to the end nothing else
    runs in this process, so that whatever callbot wrote before the end is counted.
    """
    transport = session.wire.transport
    own = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    with own:
        transport.abort()
        await session.server.changes.wait_for(lambda: session.closed, 20)
        waiting = bytearray()
        try:
            while part := own.recv(2**16):
                waiting += part
        except BlockingIOError:
            pass
        unread[session.number] = frames_in(bytes(waiting))
        if reset:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def frames_in(ciphertext: bytes) -> int:
    """The caller's frames in whole TLS records, by their lengths; each message is one record."""
    frames = at = 0
    while at < len(ciphertext):
        _, _, length = RECORD_HEAD.unpack_from(ciphertext, at)
        at += RECORD_HEAD.size + length
        frames += length // FRAME_IN_BASE64
    assert at == len(ciphertext), "a record was cut in two"
    return frames


async def close(code: int, reason: str, session: LiveSession) -> None:
    await session.close(code, reason)


BREAKS: dict[str, Breaking] = {
    "1000": partial(close, 1000, "The operation was cancelled."),
    "1007": partial(close, 1007, "Request contains an invalid argument."),
    "1008": partial(close, 1008, "The operation was aborted"),
    "1011": partial(close, 1011, "Internal error encountered."),
    "1011_unavailable": partial(close, 1011, "The service is currently unavailable."),
    "1012": partial(close, 1012, ""),
    "1013": partial(close, 1013, ""),
}


def noise(seed: str, words_s: float = WORDS_S) -> list[bytes]:
    """Frames of loud noise, of this seed alone."""
    codes = bytes((*range(0x10, 0x40), *range(0x90, 0xC0)))  # between -6 and -30 dBm0, both signs
    loud = bytes(codes[byte % len(codes)] for byte in range(256))
    draw = random.Random(seed)
    return [draw.randbytes(160).translate(loud) for _ in range(int(words_s * 50))]


def as_the_model_hears(mulaw: bytes) -> bytes:
    return CallerUpsampler("sinc_medium").push(mulaw)


async def broken_call(
    line_up: Exchange, name: str, breaking: Breaking, everybody: asyncio.Barrier, *, bot_speaks: bool
) -> tuple[int, list[LiveSession]]:
    """One call whose session breaks in mid-speech; the frames that the model missed, and its sessions."""
    words = noise(name, ENDLESS_S)
    async with line_up.driven_call() as (call, first):
        await everybody.wait()  # then all speak at once
        call.to_say.extend(words)
        if bot_speaks:
            first.say(tone(440.0, 2.0))
            await call.until(lambda: sum(map(len, call.media())) >= 2400)
        begin = len(first.pcm)
        await line_up.standin.wait_for(lambda: len(first.pcm) >= begin + 20 * FRAME, 20)
        second = await line_up.replaced(partial(breaking, first))
        assert call.to_say, "the words were over before the link broke"
        del call.to_say[50:]
        await line_up.standin.wait_for(lambda: not call.to_say, 20)
        said = call.frames_sent
        await line_up.standin.wait_for(lambda: len(first.pcm + second.pcm) >= (said - MOST_MISSED) * FRAME, 20)
        heard = call.count("media")
        second.say(ANSWER)
        await call.until(lambda: call.count("media") > heard)
        sent = as_the_model_hears(bytes(call.sent))
    received = bytes(first.pcm + second.pcm)
    assert not second.overlapped, "the old socket was still open"
    assert line_up.moves(call.call_sid)[:3] == [
        ("connecting", "streaming"),
        ("streaming", "reconnecting"),
        ("reconnecting", "streaming"),
    ]
    if received == sent[: len(received)]:
        return 0, [first, second]
    # What was on its way when the link broke is missing: find where the second session goes on.
    assert first.pcm == sent[: len(first.pcm)]
    at = sent.find(bytes(second.pcm[: 4 * FRAME]))
    assert at >= 0
    assert second.pcm == sent[at : at + len(second.pcm)]
    missed = at - len(first.pcm)
    return round(missed / FRAME), [first, second]


async def broken_calls(line_up: Exchange, breaks: Mapping[str, Breaking]) -> dict[str, tuple[int, list[LiveSession]]]:
    """A call for each way of breaking and each side that speaks, all at once."""
    cases = [(name, bot_speaks) for name in breaks for bot_speaks in (False, True)]
    everybody = asyncio.Barrier(len(cases))
    done = await asyncio.gather(
        *(broken_call(line_up, f"{name} {bot}", breaks[name], everybody, bot_speaks=bot) for name, bot in cases)
    )
    return {f"{name} while the {'bot' if bot else 'caller'} speaks": one for (name, bot), one in zip(cases, done, strict=True)}


HANDLES = StandInOptions(listening="scripted", burst=inf, handle_at_setup=True)


async def test_a_link_that_is_closed_costs_no_frame_of_the_callers() -> None:
    async with exchange(HANDLES, **FAST) as line_up:
        done = await broken_calls(line_up, {name: how for name, how in BREAKS.items() if name != "1007"})
    missed = {name: frames for name, (frames, _) in done.items()}
    print(f"\nframes missed or doubled: {missed}\nhole between the sessions, ms: {holes_ms(done)}")
    assert all(abs(frames) <= 1 for frames in missed.values()), missed
    for _, (first, second) in done.values():
        assert second.resumed
        assert second.handle_offered == first.handles[-1]


async def aborted() -> None:
    """What the service's machine had and nobody read is gone with the connection, and nothing else is."""
    unread: dict[int, int] = {}
    async with exchange(HANDLES, **FAST) as line_up:
        done = await broken_calls(
            line_up, {"tcp_reset": partial(cut, unread, reset=True), "1006": partial(cut, unread, reset=False)}
        )
    missed = {name: (frames, unread[first.number]) for name, (frames, (first, _)) in done.items()}
    print(f"\nframes missed, of them unread when the link was cut: {missed}\nhole between the sessions, ms: {holes_ms(done)}")
    assert all(0 <= frames - never_read <= LAST_FRAME for frames, never_read in missed.values()), missed
    # Nothing of it was lost between uplink and link: what was given to sockets is what arrived and what was in them.
    arrived_ms = sum(len(session.pcm) for session in line_up.standin.sessions) // 32
    given_ms = sum(summary["uplink_ms"] for summary in line_up.log("call.summary"))
    assert abs(given_ms - arrived_ms - 20 * sum(frames for frames, _ in missed.values())) <= 20 * len(missed)
    assert all(second.handle_offered == first.handles[-1] for _, (first, second) in done.values())


async def without_a_handle() -> None:
    async with exchange(StandInOptions(listening="scripted", burst=inf), **FAST) as line_up:
        done = await broken_calls(line_up, {"1011": BREAKS["1011"]})
    assert all(abs(frames) <= 1 for frames, _ in done.values())
    assert all(second.handle_offered is None for _, (_, second) in done.values())


async def after_1007() -> None:
    """What the service may have objected to is not said again."""
    async with exchange(HANDLES, **FAST) as line_up:
        done = await broken_calls(line_up, {"1007": BREAKS["1007"]})
    for frames, (_, second) in done.values():
        assert second.resumed
        assert 0 <= frames < MOST_MISSED
    lost = line_up.log("session.lost")
    assert [(line["code"], line["decision"]) for line in lost] == [(1007, "resume_without_replay")] * 2


async def test_a_link_that_is_cut_or_has_no_handle_or_was_closed_for_its_input_goes_on() -> None:
    await asyncio.gather(aborted(), without_a_handle(), after_1007())


def holes_ms(done: dict[str, tuple[int, list[LiveSession]]]) -> list[int]:
    """From each first session's end to the second's beginning."""
    return sorted(round((second.opened_s - (first.closed_s or 0.0)) * 1000) for _, (first, second) in done.values())
