"""Frames that never arrive and frames that are none of ours, over Twilio's wire to the model's."""

import base64
import json

import pytest

from callbot.simulators.gemini import StandInOptions
from tests.live.exchange import exchange
from tests.live.test_link_loss import FRAME, as_the_model_hears, noise

pytestmark = pytest.mark.live


async def test_lost_frames_are_silence_of_their_length_at_the_model_and_the_other_track_is_not_heard() -> None:
    async with exchange(StandInOptions(listening="scripted"), greeting="") as line_up:
        async with line_up.driven_call() as (call, session):
            await line_up.standin.wait_for(lambda: len(session.pcm) >= 5 * FRAME, 20)
            call.to_say.extend(noise("before", 0.5))
            await line_up.standin.wait_for(lambda: not call.to_say, 20)
            call.to_say.extend(noise("lost and after", 0.9))
            call.to_lose = 21
            await call.socket.send(
                json.dumps(
                    {
                        "event": "media",
                        "streamSid": call.stream_sid,
                        "media": {"track": "outbound", "payload": base64.b64encode(noise("the bot", 0.02)[0]).decode()},
                    }
                )
            )
            await line_up.standin.wait_for(lambda: not call.to_say, 20)
            said = call.frames_sent
            await line_up.standin.wait_for(lambda: len(session.pcm) >= (said - 1) * FRAME, 20)
            heard = bytes(session.pcm)
            sent = as_the_model_hears(bytes(call.sent))
        [summary] = await line_up.logged("call.summary")
    assert heard[: (said - 1) * FRAME] == sent[: (said - 1) * FRAME]
    assert (summary["caller_gap_ms"], summary["frames_other_track"]) == (21 * 20, 1)
