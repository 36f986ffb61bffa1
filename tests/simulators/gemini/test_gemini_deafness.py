"""A stand-in that hears nothing: it ends all the same, writes to nobody, and knows whose socket was open."""

import asyncio
import logging
import sys

import pytest
from google.genai import errors

from callbot.simulators.gemini import Fault
from callbot.simulators.gemini import faults as do
from callbot.simulators.gemini import triggers as at
from callbot.simulators.gemini.voice import tone

RESUMABLE = {"session_resumption": {}}
only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells the state of a TCP connection that is not read"
)


@pytest.mark.parametrize(
    "deafness", [do.BlackHole(), do.StopReading(), do.StopReading(for_s=1e6)], ids=lambda do: type(do).__name__
)
async def test_deafness_that_begins_after_the_connection_was_lost_does_not_keep_the_stand_in(open_line, speak, deafness):
    """It once did for ever: what a slow reader had not taken yet brought it on, when nothing was left to end it."""
    faults = (Fault(at.OnReady(), do.ReadSlowly(500.0)), Fault(at.CallerAudio(160), deafness))
    async with asyncio.timeout(30):
        async with open_line(faults=faults) as line:
            async with line.connect() as session:
                await speak(session, bytes(320 * 32))
                await line.standin.wait_for(lambda: line.last.messages_received, 20)
                session._ws.transport.abort()
            await line.standin.wait_for(lambda: line.last.closed, 20)
        assert line.last.fired == ["ReadSlowly", type(deafness).__name__]
        assert line.last.samples == 320 * 16, "what had come before the end was still heard"


@only_linux
async def test_a_deaf_session_sends_nothing_to_a_client_that_has_gone(open_line, caplog):
    caplog.set_level(logging.WARNING, "asyncio")
    async with open_line() as line:
        async with line.connect() as session:
            line.last.stop_reading()
            session._ws.transport.abort()
        await line.standin.wait_for(lambda: line.last.wire.client_has_gone)
        assert line.last.is_open, "nobody has told it"
        line.last.say(tone(440.0, 4.0))
        await line.standin.wait_for(lambda: line.last.turns and line.last.turns[0].complete, 20)
        for _ in range(10):
            await line.last.send_raw(b"{}")
    assert line.last.turns[0].audio_ms == 0
    assert caplog.messages == []
    assert line.last.closed_by == "network"


@only_linux
async def test_an_overlap_is_judged_by_the_clients_socket_and_not_by_what_a_deaf_server_has_read(open_line):
    async with open_line(handle_at_setup=True) as line:
        async with line.connect(RESUMABLE) as session:
            first = line.last
            await line.standin.wait_for(lambda: first.handles)
            first.wire.become_black_hole()
            overlapping = {"session_resumption": {"handle": first.handles[-1]}}
            with pytest.raises(errors.APIError):  # refused: a socket of this session is open
                async with line.connect(overlapping):
                    pass
            open_still = line.last
            session._ws.transport.abort()
        with pytest.raises(errors.APIError):  # refused too: the service has not read of the end
            async with line.connect(overlapping):
                pass
    assert (open_still.overlapped, open_still.overlapped_by_client) == (True, True)
    assert (line.last.overlapped, line.last.overlapped_by_client) == (True, False)
