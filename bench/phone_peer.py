"""Twilio's end of the load: callers that speak without pause, listen, and take times."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
import audioop
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.sound import BurstFinder, caller_loop

ORIGIN = "https://bench.example"
ACCOUNT = "AC" + "b" * 32
TOKEN = "bench-" + "t" * 26


@dataclass(slots=True)
class PhoneCall:
    """One call at Twilio's end."""

    number: int
    said_s: list[float] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    frames_sent: int = 0
    bytes_heard: int = 0
    started_s: float = 0.0
    first_audio_s: float = 0.0
    clear_s: list[float] = field(default_factory=list)
    refused: str = ""
    broke: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def sign(text: str) -> str:
    """Twilio's signature (HMAC-SHA1 over the public URL and the sorted fields)."""
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


async def stream_token(http: aiohttp.ClientSession, port: int, call_sid: str) -> dict[str, str] | None:
    """Post the webhook; the stream's parameters, or None when the call was refused."""
    fields = {
        "CallSid": call_sid,
        "AccountSid": ACCOUNT,
        "From": f"+1415{int(call_sid[2:10], 16) % 10**7:07d}",
        "To": "+18005551212",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
    }
    signed = sign(f"{ORIGIN}/twiml" + "".join(name + fields[name] for name in sorted(fields)))
    async with http.post(
        f"http://127.0.0.1:{port}/twiml",
        data=urlencode(fields),
        headers={"X-Twilio-Signature": signed, "Content-Type": "application/x-www-form-urlencoded"},
    ) as answer:
        twiml = await answer.text()
    if "<Stream" not in twiml:
        return None
    return dict(re.findall(r'<Parameter name="([^"]+)" value="([^"]*)"', twiml))


async def place_call(call: PhoneCall, port: int, http: aiohttp.ClientSession | None) -> None:
    """One call from dialling until `call.stop` is set. Without `http` the webhook is left out (the bare bridge)."""
    call_sid = f"CA{call.number:08x}{time.time_ns():024x}"[:34]
    stream_sid = "MZ" + call_sid[2:]
    parameters: dict[str, str] | None = {}
    if http is not None:
        parameters = await stream_token(http, port, call_sid)
    if parameters is None:
        call.refused = "busy"
        return
    try:
        async with connect(
            f"ws://127.0.0.1:{port}/ws/twilio",
            compression=None,
            ping_interval=None,
            close_timeout=0.5,
            additional_headers={"x-twilio-signature": sign(ORIGIN.replace("https", "wss") + "/ws/twilio")},
        ) as socket:
            await socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            start = {
                "accountSid": ACCOUNT,
                "streamSid": stream_sid,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            }
            await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": stream_sid, "start": start}))
            call.started_s = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(_listen(call, socket, stream_sid))
                await _speak(call, socket, stream_sid)
                listener.cancel()
            await socket.send(
                json.dumps(
                    {
                        "event": "stop",
                        "sequenceNumber": "9",
                        "streamSid": stream_sid,
                        "stop": {"accountSid": ACCOUNT, "callSid": call_sid},
                    }
                )
            )
    except (OSError, ExceptionGroup, Exception) as error:  # noqa: BLE001 - noted: a broken call is a result
        call.broke = f"{type(error).__name__}: {error}"


async def _speak(call: PhoneCall, socket: ClientConnection, stream_sid: str) -> None:
    frames, bursts = caller_loop(call.number)
    head = f'{{"event":"media","streamSid":"{stream_sid}","sequenceNumber":"'
    begun_s = time.perf_counter()
    while not call.stop.is_set():
        sent = call.frames_sent
        due_s = begun_s + sent * 0.02
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        place = sent % len(frames)
        if place in bursts:
            call.said_s.append(time.perf_counter())
        await socket.send(
            f'{head}{sent + 2}","media":{{"track":"inbound","chunk":"{sent + 1}","timestamp":"{sent * 20 + 100}",'
            f'"payload":"{frames[place]}"}}}}'
        )
        call.frames_sent += 1


async def _listen(call: PhoneCall, socket: ClientConnection, stream_sid: str) -> None:
    finder = BurstFinder(gap_samples=8_000 // 5)
    playing_until_s = 0.0
    loop = asyncio.get_running_loop()
    sequence = 100_000
    async for message in socket:
        now_s = time.perf_counter()
        event = json.loads(message)
        if event["event"] == "media":
            mulaw = base64.b64decode(event["media"]["payload"])
            if not call.bytes_heard:
                call.first_audio_s = now_s
            call.bytes_heard += len(mulaw)
            playing_until_s = max(playing_until_s, now_s) + len(mulaw) / 8000
            if finder.found(np.frombuffer(audioop.ulaw2lin(mulaw, 2), "<i2")):
                call.heard_s.append(now_s)
        elif event["event"] == "mark":
            sequence += 1
            echo = json.dumps(
                {"event": "mark", "sequenceNumber": str(sequence), "streamSid": stream_sid, "mark": event["mark"]}
            )
            loop.call_later(max(0.0, playing_until_s - now_s), _send_soon, socket, echo)
        elif event["event"] == "clear":
            call.clear_s.append(now_s)
            playing_until_s = now_s


_echoes: set[asyncio.Task[None]] = set()


def _send_soon(socket: ClientConnection, text: str) -> None:
    task = asyncio.ensure_future(_send(socket, text))
    _echoes.add(task)
    task.add_done_callback(_echoes.discard)


async def _send(socket: ClientConnection, text: str) -> None:
    try:
        await socket.send(text)
    except Exception:  # noqa: BLE001 - the call is over
        return
