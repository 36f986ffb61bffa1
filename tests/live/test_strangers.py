"""Every attack against the whole server with real calls on it: nothing is opened at the model, the calls go on.

The strangers are those of `attackers.py`. They come all at once, while the model speaks to an honest caller.
"""

import asyncio
import contextlib
import json
import re
import resource
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect

from callbot.simulators.gemini import StandInOptions
from tests.audio.tone_analysis import to_pcm, tone
from tests.live.attackers import ATTACKS, bomb
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, Exchange, exchange
from tests.live.plain_caller import ACCOUNT_SID, call_fields, post, sign
from tests.live.stranger import Loot, Token

pytestmark = pytest.mark.live

GEMINI_KEY = "planted-gemini-key-93bd"
STREAM_URL = "wss://bot.example/ws/twilio"
SPOKEN_S = 2.0
PATIENT_S = 2.5  # what the server waits for a request or a `start`: more than a slow machine stalls, as long as this test takes


GROWTH_BYTES = 128 * 2**20  # 4 MB were sent, and 60 MB packed up; both ends live in this process


@dataclass
class Peak:
    """How far this process has grown at most, in bytes. The kernel's own peak counts for nothing after a larger one."""

    grown: int = 0


@contextlib.asynccontextmanager
async def peak_of_memory() -> AsyncIterator[Peak]:
    peak, statm = Peak(), Path("/proc/self/statm")

    def resident() -> int:
        return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else 0

    async def watch() -> None:
        while True:
            peak.grown = max(peak.grown, resident() - before)
            await asyncio.sleep(0.005)

    before = resident()
    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()


async def nobody_waits(port: int) -> None:
    """Until no socket without a token has a place: what is left behind would keep the next callers out."""

    def pending() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return next(line for line in text.splitlines() if line.startswith("callbot_streams_pending"))

    async with asyncio.timeout(10):
        while await asyncio.to_thread(pending) != "callbot_streams_pending 0.0":  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.05)


async def ring(line_up: Exchange, call_sid: str, path: str = "/twiml", status: str = "ringing") -> str:
    """The token in the answer to a signed webhook."""
    _, document = await asyncio.to_thread(post, line_up.port, PUBLIC_URL, AUTH_TOKEN, path, call_fields(call_sid, status))
    found = re.search(r'name="token" value="([^"]+)"', document)
    assert found, document
    return found[1]


@contextlib.asynccontextmanager
async def admitted(line_up: Exchange, call_sid: str, token: str, stream_no: int) -> AsyncIterator[None]:
    """A stream that has shown its token, and whose caller has been greeted."""
    parameters = {"token": token, "stream_no": str(stream_no)}
    sid = f"MZ{call_sid[2:]}"
    start = {"accountSid": ACCOUNT_SID, "streamSid": sid, "callSid": call_sid, "customParameters": parameters}
    headers = {"X-Twilio-Signature": sign(AUTH_TOKEN, STREAM_URL)}
    address = f"ws://127.0.0.1:{line_up.port}/ws/twilio"
    async with connect(address, additional_headers=headers, compression=None, max_queue=None, ping_interval=None) as socket:
        await socket.send(json.dumps({"event": "start", "streamSid": sid, "start": start}))
        await socket.recv()
        yield


async def test_strangers_open_nothing_stop_nobody_and_are_written_down() -> None:
    live, flooded, clumped, waiting, displaced = (f"CA{number:032x}" for number in range(0xA1, 0xA6))
    async with exchange(
        StandInOptions(),
        gemini_api_key=GEMINI_KEY,
        start_timeout_s=PATIENT_S,
        request_timeout_s=PATIENT_S,
    ) as line_up:
        form = call_fields(live)
        loot = Loot(
            port=line_up.port,
            account_sid=ACCOUNT_SID,
            handshake_signature=sign(AUTH_TOKEN, STREAM_URL),
            overheard_webhook=(urlencode(form), sign(AUTH_TOKEN, PUBLIC_URL + "/twiml", form)),
            used_token=Token(live, await ring(line_up, live)),
            unused_token=Token(waiting, await ring(line_up, waiting)),
            flood_token=Token(flooded, await ring(line_up, flooded)),
            clump_token=Token(clumped, await ring(line_up, clumped)),
            older_token=Token(displaced, await ring(line_up, displaced)),
        )
        second = await ring(line_up, displaced, "/twiml/next?stream_no=1", "in-progress")
        async with (
            admitted(line_up, displaced, second, 2),
            admitted(line_up, *loot.used_token),
            line_up.driven_call() as (call, session),
        ):
            await call.until(call.media)
            sessions = len(line_up.standin.sessions)  # some prewarmed, each for a call that Twilio has signed for
            heard = len(b"".join(call.media()))
            assert len(bomb()) < 2**16  # made before the calls are listened to
            before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            session.say(to_pcm(tone(600.0, 24_000, SPOKEN_S, -12)))
            async with peak_of_memory() as peak, asyncio.TaskGroup() as strangers:
                for attack in ATTACKS.values():
                    strangers.create_task(attack.run(loot))
            assert peak.grown < GROWTH_BYTES
            await call.until(lambda: len(b"".join(call.media())) >= heard + SPOKEN_S * 8000)

            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
            assert grown_kb * 1024 < GROWTH_BYTES
            await nobody_waits(line_up.port)
            assert len(line_up.standin.sessions) == sessions
            started = {line["call_sid"] for line in line_up.log("call.started")}
            # A flood that comes with its `start` has no call; one that comes a moment later has had one.
            assert {live, displaced, call.call_sid} <= started <= {live, displaced, call.call_sid, flooded, clumped}
            assert call.closed is None
        assert_written_down(line_up, loot, second)
    # Streams that went without a `stop` are broken; nothing else went wrong.
    assert {line["outcome"] for line in line_up.log("call.summary")} == {"completed", "broken"}
    assert [line["outcome"] for line in line_up.log("call.summary", call.call_sid)] == ["completed"]


def assert_written_down(line_up: Exchange, loot: Loot, *more_tokens: str) -> None:
    lines: list[dict[str, Any]] = line_up.lines
    told = [(line["event"], line.get("reason"), line.get("path")) for line in lines]
    for name, attack in ATTACKS.items():
        own = (attack.event, attack.reason, attack.path)
        wanted = sum((other.event, other.reason, other.path) == own for other in ATTACKS.values())
        assert told.count(own) >= wanted, f"{name} is not in the log"
    assert not [line for line in lines if line["event"] in {"server.crashed", "call.crashed", "child.crashed"}]
    said = json.dumps(lines)
    tokens = [
        token.secret for token in (loot.used_token, loot.unused_token, loot.flood_token, loot.clump_token, loot.older_token)
    ]
    number = call_fields("x")["From"]
    for secret in (AUTH_TOKEN, GEMINI_KEY, loot.handshake_signature, loot.overheard_webhook[1], number, *tokens, *more_tokens):
        assert secret not in said
