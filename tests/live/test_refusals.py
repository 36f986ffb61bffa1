"""Set-ups that the service refuses, through the real google-genai client: what was named is left out, the rest said at once."""

from typing import Any

import pytest

from callbot import check
from callbot.settings_loading import load
from callbot.simulators.gemini import Fault, GeminiStandIn, Parrot, StandInOptions
from callbot.simulators.gemini.faults import Close
from callbot.simulators.gemini.triggers import OnSetup
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import CallEnd, Line
from tests.live.exchange import exchange

pytestmark = pytest.mark.live

TRACE = "Request trace id: 4f1c9a{n}, [ORIGINAL ERROR] generic::"
QUICK: dict[str, Any] = {"brain": Parrot(greeting=tone(440.0, 0.3)), "answer_delay_s": 0.05}
QUICK_WORDS = {"say_ms_per_character": 2.0, "setup_ms": (0, 5)}


async def stay(line: Line) -> None:
    await line.stay(60)


async def hear_the_bot(line: Line) -> None:
    await line.wait_until_bot_speaks()


@pytest.mark.parametrize(
    ("code", "reason", "dials"),
    [
        (1011, TRACE + "resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent se", 2),
        (1007, "API Key not found. Please pass a valid API key.", 1),
        (1011, TRACE + "UNKNOWN: Your prepayment credits are depleted.", 1),
        (1007, "Request contains an invalid argument.", 2),
    ],
)
async def test_a_refusal_that_stands_is_said_at_once(code: int, reason: str, dials: int) -> None:
    """Nine identical set-ups and twelve seconds of comfort sounds it once was."""
    faults = tuple(Fault(at=OnSetup(), do=Close(code, reason.format(n=n)), connection=n) for n in range(1, 20))
    async with exchange(StandInOptions(faults=faults, **QUICK), carrier=QUICK_WORDS, prewarm=False) as line_up:
        report = await line_up.carrier.call(stay)
        assert report.said == (line_up.settings.apology,)
        assert report.end is CallEnd.HANGUP_VERB
        assert len(line_up.standin.sessions) == dials
        lines = line_up.log("session.lost")
    assert len(lines) == dials
    assert all(line["remedy"] for line in lines)
    assert all(line["code"] == code for line in lines)


async def test_a_refusal_that_stands_passes_on_to_the_next_model() -> None:
    async with exchange(
        StandInOptions(**QUICK), carrier=QUICK_WORDS, prewarm=False, model="gemini-0-live", fallback_models="gemini-3.8-live"
    ) as line_up:
        report = await line_up.carrier.call(hear_the_bot)
        assert report.said == ()
        [lost] = line_up.log("session.lost")
    assert lost["cause"] == "close_1008_model"
    assert "GOOGLE_GENAI_MODEL" in lost["remedy"]


async def test_an_unknown_voice_is_left_out_and_the_caller_is_spoken_to() -> None:
    async with exchange(StandInOptions(**QUICK), carrier=QUICK_WORDS, prewarm=False, voice="Nobody") as line_up:
        report = await line_up.carrier.call(hear_the_bot)
        assert report.said == ()
        refused, taken = line_up.standin.sessions
    assert "Nobody" in str(refused.setup)
    assert "speechConfig" not in str(taken.setup)
    [lost] = line_up.log("session.lost")
    assert lost["cause"] == "close_1007_voice"
    assert "CALLBOT_VOICE" in lost["remedy"]


async def test_a_field_that_is_refused_by_name_is_left_out_and_the_others_stay() -> None:
    reason = "Thinking level is not supported for this model."
    faults = (Fault(at=OnSetup(), do=Close(1007, reason), connection=1),)
    options = StandInOptions(faults=faults, **QUICK)
    chosen = {"model": "gemini-3.1-flash-live-preview", "thinking_level": "high", "temperature": 0.5}
    async with exchange(options, carrier=QUICK_WORDS, prewarm=False, **chosen) as line_up:
        report = await line_up.carrier.call(hear_the_bot)
        assert report.said == ()
        refused, taken = (session.setup or {} for session in line_up.standin.sessions)
    assert refused["generationConfig"]["thinkingConfig"]["thinkingLevel"] == "HIGH"
    assert "thinkingConfig" not in taken["generationConfig"]
    assert taken["generationConfig"]["temperature"] == 0.5


@pytest.mark.parametrize(("level", "sent"), [(None, "LOW"), ("high", "HIGH"), ("minimal", "LOW")])
async def test_extended_thinking_is_given_a_level_that_it_takes(level: str | None, sent: str) -> None:
    chosen = {"model": "gemini-3.8-live-extended-thinking", "thinking_level": level}
    async with exchange(StandInOptions(**QUICK), carrier=QUICK_WORDS, prewarm=False, **chosen) as line_up:
        report = await line_up.carrier.call(hear_the_bot)
        assert report.said == ()
        [session] = line_up.standin.sessions
        left_out = line_up.log("model.settings_left_out")
    assert session.setup is not None
    assert session.setup["generationConfig"]["thinkingConfig"] == {"thinkingLevel": sent}
    assert [line["settings"] for line in left_out] == ([["CALLBOT_THINKING_LEVEL"]] if level == "minimal" else [])


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("API Key not found. Please pass a valid API key.", "GEMINI_API_KEY"),
        ("Requested voice api_name 'Nobody' is not available", "CALLBOT_VOICE"),
        (TRACE + "resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent se", "quota"),
    ],
)
async def test_the_check_names_the_cause_and_the_remedy(reason: str, remedy: str) -> None:
    faults = (Fault(at=OnSetup(), do=Close(1007, reason)),)
    async with GeminiStandIn(StandInOptions(faults=faults)) as standin:
        settings = load(
            _env_file=None, gemini_api_key="k", gemini_base_url=standin.base_url, ssl_cert_file=str(standin.ca_pem_path)
        )
        [finding] = [found async for found in check._model(settings)]
    assert finding.verdict is check.Verdict.ERROR
    assert remedy in finding.remedy
