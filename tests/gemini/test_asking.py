"""How a session is given a text, per model, as the stand-in hears it through the real google-genai client."""

import pytest

from callbot.default_brief import brief_of
from callbot.gemini.connector import Connector
from callbot.gemini.link import ModelLink
from callbot.gemini.session_config import SessionOrder
from callbot.settings_loading import load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions

NATIVE_2_5 = "gemini-2.5-flash-native-audio-preview-12-2025"
SILENCE = bytes(640)


async def kinds_heard(model: str, codec: str, *, audio_first: bool) -> list[str]:
    """What kinds of message a session gets that is asked twice, before or after it has been given audio."""
    async with GeminiStandIn(StandInOptions(listening="scripted")) as standin:
        settings = load(
            _env_file=None,
            gemini_api_key="key",
            gemini_base_url=standin.base_url,
            ssl_cert_file=str(standin.ca_pem_path),
            model=model,
            model_codec=codec,
        )
        brief = brief_of(settings)
        link: ModelLink = await Connector(settings, brief).open(SessionOrder("CA1", brief))
        session = standin.sessions[0]
        for text in ("first", "second"):
            if audio_first and not link.send_audio_now(SILENCE):
                await link.send_audio(SILENCE)
            await link.ask(text)
        await standin.wait_for(lambda: sum(one.kind != "audio" for one in session.received) >= 2, 20)
        assert session.closed_s is None, session.close_reason
        heard = [one.kind for one in session.received if one.kind != "audio"]
        await link.close(1.0)
    return heard


@pytest.mark.parametrize("codec", ["direct", "sdk"])
@pytest.mark.parametrize(
    ("model", "audio_first", "expected"),
    [
        (NATIVE_2_5, False, ["clientContent", "text"]),
        (NATIVE_2_5, True, ["text", "text"]),  # client content amid audio would close the session with 1007
        ("gemini-3.8-live", False, ["text", "text"]),
        ("gemini-3.8-live", True, ["text", "text"]),
    ],
)
async def test_client_content_is_for_first_words_before_any_audio(
    model: str, codec: str, audio_first: bool, expected: list[str]
) -> None:
    assert await kinds_heard(model, codec, audio_first=audio_first) == expected
