"""Twilio's end of the load: callers that speak without pause, listen, and take times."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from array import array
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
import audioop
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.sound import BurstFinder, caller_loop
from bench.track import Arrivals, no_times

ORIGIN = "https://bench.example"
ACCOUNT = "AC" + "b" * 32
TOKEN = "bench-" + "t" * 26


@dataclass(slots=True, eq=False)
class PhoneCall:
    """One call at Twilio's end."""

    number: int
    stream: int = 1  # which one of the call's streams this is; those before it have not come
    call_sid: str = ""
    token: str = ""
    older_tokens: list[str] = field(default_factory=list)  # of the streams that have not come, oldest first
    sent_s: "array[float]" = field(default_factory=no_times)  # when each frame was sent
    arrived: Arrivals = field(default_factory=Arrivals)  # the model's audio, at 8 kHz
    said_s: list[float] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    frames_sent: int = 0
    bytes_heard: int = 0
    started_s: float = 0.0
    first_audio_s: float = 0.0
    playing_until_s: float = 0.0  # by then what has arrived has been heard
    clear_s: list[float] = field(default_factory=list)
    refused: str = ""
    broke: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def sign(text: str) -> str:
    """Twilio's signature (HMAC-SHA1 over the public URL and the sorted fields)."""
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


def webhook(call_sid: str, path: str = "/twiml") -> tuple[str, str]:
    """Twilio's form about a call, and its signature."""
    fields = {
        "CallSid": call_sid,
        "AccountSid": ACCOUNT,
        "From": f"+1415{int(call_sid[2:10], 16) % 10**7:07d}",
        "To": "+18005551212",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
    }
    return urlencode(fields), sign(ORIGIN + path + "".join(name + fields[name] for name in sorted(fields)))


async def stream_token(http: aiohttp.ClientSession, port: int, call_sid: str, stream: int = 1) -> dict[str, str] | None:
    """Post the webhook that asks for a call's n-th stream; its parameters, or None when the call was refused."""
    path = "/twiml" if stream == 1 else f"/twiml/next?stream_no={stream - 1}"
    form, signature = webhook(call_sid, path)
    async with http.post(
        f"http://127.0.0.1:{port}{path}",
        data=form,
        headers={"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"},
    ) as answer:
        twiml = await answer.text()
    if "<Stream" not in twiml:
        return None
    return dict(re.findall(r'<Parameter name="([^"]+)" value="([^"]*)"', twiml))


async def place_call(call: PhoneCall, port: int, http: aiohttp.ClientSession | None) -> None:
    """One call from dialling until `call.stop` is set. Without `http` the webhook is left out (the bare bridge)."""
    call.call_sid = call_sid = f"CA{call.number:08x}{time.time_ns():024x}"[:34]
    stream_sid = "MZ" + call_sid[2:]
    parameters: dict[str, str] = {}
    for stream in range(1, call.stream + 1):
        if http is None:
            break
        answer = await stream_token(http, port, call_sid, stream)
        if answer is None:
            call.refused = "busy"
            return
        if call.token:
            call.older_tokens.append(call.token)
        parameters, call.token = answer, answer["token"]
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
    except Exception as error:  # noqa: BLE001 - noted: a broken call is a result
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
        now_s = time.perf_counter()
        call.sent_s.append(now_s)
        if place in bursts:
            call.said_s.append(now_s)
        await socket.send(
            f'{head}{sent + 2}","media":{{"track":"inbound","chunk":"{sent + 1}","timestamp":"{sent * 20 + 100}",'
            f'"payload":"{frames[place]}"}}}}'
        )
        call.frames_sent += 1


async def _listen(call: PhoneCall, socket: ClientConnection, stream_sid: str) -> None:
    finder = BurstFinder(gap_samples=8_000 // 5)
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
            call.arrived.note(now_s, len(mulaw))
            call.playing_until_s = max(call.playing_until_s, now_s) + len(mulaw) / 8000
            if finder.found(np.frombuffer(audioop.ulaw2lin(mulaw, 2), "<i2")):
                call.heard_s.append(now_s)
        elif event["event"] == "mark":
            sequence += 1
            echo = json.dumps(
                {"event": "mark", "sequenceNumber": str(sequence), "streamSid": stream_sid, "mark": event["mark"]}
            )
            loop.call_later(max(0.0, call.playing_until_s - now_s), _send_soon, socket, echo)
        elif event["event"] == "clear":
            call.clear_s.append(now_s)
            call.playing_until_s = now_s


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
