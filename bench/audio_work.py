"""The audio path alone, for counting its instructions: `python -m bench.audio_work KIND FRAMES`.

`up` and `down` are callbot's chains, wire to wire; `up_bare` and `down_bare` only the converter on ready samples.
"""

import sys

import numpy as np
import samplerate

from bench.sound import caller_loop, model_loop
from callbot.audio.framing import FrameAssembler
from callbot.audio.resample import CallerUpsampler, ModelDownsampler
from callbot.wire import gemini, twilio


def up(frames: int) -> None:
    """Twilio's message in, the model's message out."""
    payloads, _ = caller_loop(1)
    messages = [
        '{"event":"media","sequenceNumber":"2","streamSid":"MZ","media":{"track":"inbound","chunk":"1","timestamp":"100","payload":"'
        + payload
        + '"}}'
        for payload in payloads
    ]
    resampler = CallerUpsampler()
    for number in range(frames):
        media = twilio.decode(messages[number % len(messages)])
        if isinstance(media, twilio.Media):
            gemini.audio_message(resampler.push(media.payload))


def down(frames: int) -> None:
    """The model's message in, Twilio's message out."""
    messages, _ = model_loop(1, 20)
    resampler, assembler, encoder = ModelDownsampler(), FrameAssembler(), twilio.TwilioEncoder("MZ" + "0" * 32)
    assembler.reset(lead_in=resampler.look_ahead_bytes)
    for number in range(frames):
        message = gemini.decode(messages[number % len(messages)])
        if isinstance(message, gemini.ModelMessage):
            for part in message.audio:
                if mulaw := assembler.push(resampler.push(part.pcm)):
                    encoder.media(mulaw)


def bare(frames: int, samples: int, ratio: float) -> None:
    """The converter alone."""
    resampler = samplerate.Resampler("sinc_medium", 1)
    frame = np.random.default_rng(1).normal(0, 400, samples).astype(np.float32)
    for _ in range(frames):
        resampler.process(frame, ratio)


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    match kind:
        case "up":
            up(count)
        case "down":
            down(count)
        case "up_bare":
            bare(count, 160, 2.0)
        case "down_bare":
            bare(count, 480, 8000 / 24000)
        case _:
            raise SystemExit(f"unknown kind {kind}")
