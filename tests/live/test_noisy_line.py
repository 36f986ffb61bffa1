"""A line louder than any noise should be, over the whole path: a session that has frozen is noticed all the same."""

import pytest

from callbot.simulators.gemini import Fault, StandInOptions
from callbot.simulators.gemini.faults import Freeze
from callbot.simulators.gemini.triggers import OnReady
from tests.audio.noises import fan, music
from tests.audio.tone_analysis import Signal, to_mulaw
from tests.live.exchange import exchange

pytestmark = pytest.mark.live

# Without the bound there was silence for as long as the noise went on.
MOVED_WITHIN_S = 26.0
FROZEN = (Fault(OnReady(), Freeze(), connection=1),)


def frames(signal: Signal) -> list[bytes]:
    mulaw = to_mulaw(signal)
    return [mulaw[at : at + 160] for at in range(0, len(mulaw) - 159, 160)]


@pytest.mark.parametrize("level_dbm0", [-18, -10])
@pytest.mark.parametrize("noise", [fan, music])
async def test_a_noise_that_never_pauses_holds_up_no_watchdog(noise: type, level_dbm0: float) -> None:
    """The greeting is asked for and the model says nothing, while the line is loud: the call asks again, then moves."""
    async with (
        exchange(StandInOptions(faults=FROZEN), greeting="Say hello.") as line_up,
        line_up.driven_call(frames(noise(60, level_dbm0))) as (call, first),
    ):
        sessions = line_up.standin.sessions
        await line_up.standin.wait_for(lambda: len(first.pcm) > 32_000 * MOVED_WITHIN_S or len(sessions) > 1, 60)
        second = sessions[-1]
        assert second is not first, "it was noticed"
        await call.until(lambda: call.count("media") > 20)
