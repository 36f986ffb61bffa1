"""The reference: a bare bridge. Two sockets, the same converter, the same wire formats, and nothing else.

No states, no clear, no pacing, no safety, no reconnect: what is left when everything that a telephone needs is taken away.
`python -m bench.bare PORT MODEL_PORT CA_FILE CONVERTER`
"""

import asyncio
import base64
import json
import ssl
import sys

import audioop
import numpy as np
import samplerate
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


async def main(port: int, model_port: int, ca_file: str, converter: str) -> None:
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
                down = group.create_task(_down(phone, model, stream_sid, converter))
                await _up(phone, model, converter)
                down.cancel()

    async with serve(carry, "127.0.0.1", port, compression=None, ping_interval=None, close_timeout=0.5, backlog=512):
        print(f"port {port}", flush=True)
        await asyncio.Future()


async def _up(phone: ServerConnection, model: ClientConnection, converter: str) -> None:
    resampler = samplerate.Resampler(converter, 1)
    async for message in phone:
        event = json.loads(message)
        if event["event"] == "stop":
            return
        if event["event"] != "media":
            continue
        pcm = np.frombuffer(audioop.ulaw2lin(base64.b64decode(event["media"]["payload"]), 2), "<i2").astype(np.float32)
        wide = np.clip(np.rint(resampler.process(pcm, 2.0)), -32768, 32767).astype("<i2").tobytes()
        text = base64.urlsafe_b64encode(wide).decode()
        await model.send('{"realtime_input":{"audio":{"data":"' + text + '","mime_type":"audio/pcm;rate=16000"}}}')


async def _down(phone: ServerConnection, model: ClientConnection, stream_sid: str, converter: str) -> None:
    resampler = samplerate.Resampler(converter, 1)
    async for message in model:
        turn = json.loads(message).get("serverContent", {}).get("modelTurn")
        for part in turn["parts"] if turn else ():
            pcm = np.frombuffer(base64.b64decode(part["inlineData"]["data"]), "<i2").astype(np.float32)
            narrow = np.clip(np.rint(resampler.process(pcm, 8000 / 24000)), -32768, 32767).astype("<i2").tobytes()
            payload = base64.b64encode(audioop.lin2ulaw(narrow, 2)).decode()
            await phone.send('{"event":"media","streamSid":"' + stream_sid + '","media":{"payload":"' + payload + '"}}')


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
