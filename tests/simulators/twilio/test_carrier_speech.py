"""<Say> is heard where espeak-ng is installed, and says what to install where it is not."""

import pytest
from scripted_app import STAY, ScriptedApp, response

from callbot.simulators.twilio import speech

DOCUMENT = response('<Say language="en-GB">We are sorry.</Say>')


@pytest.mark.skipif(not speech.is_installed(), reason="espeak-ng is not installed")
async def test_a_text_is_spoken_and_heard() -> None:
    async with ScriptedApp(twiml=DOCUMENT) as app:
        report = await app.carrier(audible_say=True, speed=5).call([STAY])
    assert report.said == ("We are sorry.",)
    assert report.heard_ms > 400
    assert len(await speech.spoken("hello", "no-such-language")) > 1000


async def test_without_the_program_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    async with ScriptedApp(twiml=DOCUMENT) as app:
        with pytest.raises(ValueError, match="apt install espeak-ng"):
            app.carrier(audible_say=True)
