"""The model is away for five seconds in the middle of a call, by the default limits: the caller is not lost, nor a word."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from callbot.simulators.gemini import GeminiStandIn, LiveSession, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.exchange import exchange
from tests.live.plain_caller import PlainCall
from tests.live.test_link_loss import ENDLESS_S, FRAME, as_the_model_hears, noise

pytestmark = pytest.mark.live

AWAY_S = 5.0
DEAD_AIR_S = 4.0
HANDLES = StandInOptions(listening="scripted", burst=inf, handle_at_setup=True)


class Ear:
    """Listens for the bot's audio."""

    def __init__(self, call: PlainCall) -> None:
        self._call = call
        self.longest_silence_s = 0.0
        self.sounds = 0

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        heard, heard_s = self._call.count("media"), loop.time()
        while True:
            await asyncio.sleep(0.05)
            if (now_heard := self._call.count("media")) > heard:
                self.sounds += loop.time() - heard_s > 1.0
                heard, heard_s = now_heard, loop.time()
            self.longest_silence_s = max(self.longest_silence_s, loop.time() - heard_s)


async def answered(call: PlainCall, session: LiveSession) -> None:
    """The model says something and the caller hears it."""
    heard = call.count("media")
    session.say(tone(700.0, 0.2))
    await call.until(lambda: call.count("media") > heard)


async def answers_503(standin: GeminiStandIn) -> None:
    standin.refuse(503)


async def admits_again(standin: GeminiStandIn) -> None:
    standin.admit()


async def refuses_connections(standin: GeminiStandIn) -> None:
    standin.stop_listening()


type Change = Callable[[GeminiStandIn], Awaitable[None]]


async def away_for_five_seconds(goes: Change, comes_back: Change, *, cause: str, code: int, reason: str) -> None:
    """One call over an outage, its caller speaking all the while."""
    async with exchange(HANDLES, greeting="") as line_up:
        standin = line_up.standin
        async with line_up.driven_call() as (call, first), asyncio.TaskGroup() as beside:
            await answered(call, first)
            ear = Ear(call)
            listening = beside.create_task(ear.listen())
            call.to_say.extend(noise(cause, ENDLESS_S))
            begin = len(first.pcm)
            await standin.wait_for(lambda: len(first.pcm) >= begin + 20 * FRAME, 20)
            await goes(standin)
            await first.close(code, reason)
            await asyncio.sleep(AWAY_S)
            assert len(standin.sessions) == 1, "nobody was let in"
            tried = len(line_up.log("session.lost"))
            await comes_back(standin)
            second = await line_up.next_session(1)
            listening.cancel()
            assert call.to_say, "the caller went on speaking"
            del call.to_say[50:]
            await standin.wait_for(lambda: not call.to_say, 20)
            said = call.frames_sent
            await standin.wait_for(lambda: len(first.pcm + second.pcm) >= (said - 1) * FRAME, 20)
            await answered(call, second)
            call.to_say.extend(noise("and then"))
            spoken = len(second.pcm) + len(call.to_say) * FRAME
            await standin.wait_for(lambda: len(second.pcm) >= spoken, 20)
            await answered(call, second)
            sent = as_the_model_hears(bytes(call.sent))
    [summary] = line_up.log("call.summary")
    print(
        f"\n{cause}: {tried} sessions lost while it was away, back after {summary['recovery_max_ms']} ms; "
        f"longest silence {ear.longest_silence_s:.2f} s, {ear.sounds} sounds that ended one"
    )
    received = bytes(first.pcm + second.pcm)
    assert first.pcm == sent[: len(first.pcm)]
    at = sent.find(bytes(second.pcm[: 4 * FRAME]))
    assert abs(at - len(first.pcm)) <= FRAME, "what was kept begins where the lost session ended"
    assert second.pcm == sent[at : at + len(second.pcm)], "in order, without gap or repetition"
    assert len(received) > said * FRAME - 2 * FRAME
    assert summary["caller_dropped_ms"] == 0
    assert ear.sounds >= 1, "a comfort sound"
    assert ear.longest_silence_s <= DEAD_AIR_S
    assert cause in {line["cause"] for line in line_up.log("session.lost")}
    assert second.handle_offered == first.handles[-1]
    assert line_up.moves() == [
        ("connecting", "streaming"),
        ("streaming", "reconnecting"),
        ("reconnecting", "streaming"),
        ("streaming", "draining"),
        ("draining", "closed"),
    ]
    assert summary["outcome"] == "completed"


async def test_a_model_that_is_away_for_five_seconds_finds_every_word_and_a_caller_who_is_still_there() -> None:
    overloaded = "The service is currently unavailable."
    await asyncio.gather(
        away_for_five_seconds(answers_503, admits_again, cause="http_503", code=1011, reason=overloaded),
        away_for_five_seconds(refuses_connections, GeminiStandIn.listen, cause="unreachable", code=1012, reason=""),
    )
