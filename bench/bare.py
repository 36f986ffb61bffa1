"""The reference: a bare bridge. Two sockets, the same converter, the same wire formats, and nothing else.

No states, no clear, no pacing, no safety, no reconnect: what is left when everything that a telephone needs is taken away.
`python -m bench.bare PORT MODEL_PORT CA_FILE CONVERTER [polyphase]`; with the last word the converter is not libsamplerate's
code but callbot's, which applies the same filter: what callbot costs beside its converter shows then.
"""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import Callable

import audioop
import numpy as np
import samplerate
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from callbot.audio.polyphase import Polyphase, read_filter

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


def converter_of(name: str, polyphase: bool, source_hz: int, target_hz: int) -> Callable[[bytes], bytes]:
    """Takes and gives s16 bytes."""
    ratio = target_hz / source_hz
    resampler = samplerate.Resampler(name, 1)
    ours = Polyphase(read_filter(name, source_hz, target_hz), slices=2) if polyphase else None

    def convert(pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, "<i2")
        converted = resampler.process(samples.astype(np.float32), ratio) if ours is None else ours.process(samples)
        return np.clip(np.rint(converted), -32768, 32767).astype("<i2").tobytes()

    return convert


async def main(port: int, model_port: int, ca_file: str, converter: str, polyphase: bool) -> None:
    """Serve until killed."""
    context = ssl.create_default_context(cafile=ca_file)

    async def carry(phone: ServerConnection) -> None:
        stream_sid = ""
        while not stream_sid:
            stream_sid = json.loads(await phone.recv()).get("streamSid", "")
        async with connect(
            f"wss://127.0.0.1:{model_port}{PATH}",
            ssl=context,
            compression=None,
            ping_interval=None,
            max_size=None,
            close_timeout=0.5,
        ) as model:
            await model.send('{"setup":{"model":"models/gemini-3.8-live"}}')
            await model.recv()
            async with asyncio.TaskGroup() as group:
                down = group.create_task(_down(phone, model, stream_sid, converter_of(converter, polyphase, 24_000, 8000)))
                await _up(phone, model, converter_of(converter, polyphase, 8000, 16_000))
                down.cancel()

    async with serve(carry, "127.0.0.1", port, compression=None, ping_interval=None, close_timeout=0.5, backlog=512):
        print(f"port {port}", flush=True)
        await asyncio.Future()


async def _up(phone: ServerConnection, model: ClientConnection, convert: Callable[[bytes], bytes]) -> None:
    async for message in phone:
        event = json.loads(message)
        if event["event"] == "stop":
            return
        if event["event"] != "media":
            continue
        wide = convert(audioop.ulaw2lin(base64.b64decode(event["media"]["payload"]), 2))
        text = base64.urlsafe_b64encode(wide).decode()
        await model.send('{"realtime_input":{"audio":{"data":"' + text + '","mime_type":"audio/pcm;rate=16000"}}}')


async def _down(phone: ServerConnection, model: ClientConnection, stream_sid: str, convert: Callable[[bytes], bytes]) -> None:
    async for message in model:
        turn = json.loads(message).get("serverContent", {}).get("modelTurn")
        for part in turn["parts"] if turn else ():
            narrow = convert(base64.b64decode(part["inlineData"]["data"]))
            payload = base64.b64encode(audioop.lin2ulaw(narrow, 2)).decode()
            await phone.send('{"event":"media","streamSid":"' + stream_sid + '","media":{"payload":"' + payload + '"}}')


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], "polyphase" in sys.argv[5:]))
