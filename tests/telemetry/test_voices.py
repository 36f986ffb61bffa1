from importlib.resources import files

import pytest

from callbot.audio import pcm_level_dbfs
from callbot.simulators import voices

RECORDINGS = files(voices)
SIZE_LIMIT = 1_200_000  # the recordings ship with the package


@pytest.mark.parametrize(("name", "voice"), voices.CATALOGUE.items())
def test_every_recording_is_what_the_catalogue_says(name: str, voice: voices.Voice) -> None:
    pcm = voices.caller(name) if voice.speaker == "caller" else voices.bot(name)
    rate_hz = voices.CALLER_RATE_HZ if voice.speaker == "caller" else voices.BOT_RATE_HZ

    assert len(pcm) / 2 / rate_hz == pytest.approx(voice.seconds, abs=0.006)
    assert -24 < pcm_level_dbfs(pcm) < -19
    assert f"`{voice.speaker}_{name}.wav`" in RECORDINGS.joinpath("README.md").read_text("utf-8")
    assert voice.transcript in RECORDINGS.joinpath("README.md").read_text("utf-8")


def test_every_file_is_in_the_catalogue_and_all_are_small() -> None:
    recordings = [file for file in RECORDINGS.iterdir() if file.name.endswith(".wav")]

    assert {file.name for file in recordings} == {f"{voice.speaker}_{name}.wav" for name, voice in voices.CATALOGUE.items()}
    assert sum(len(file.read_bytes()) for file in recordings) < SIZE_LIMIT


def test_the_licence_comes_with_the_recordings() -> None:
    readme = RECORDINGS.joinpath("README.md").read_text("utf-8")

    assert "Redistributions in binary form must reproduce the above copyright" in readme
    assert "THIS SOFTWARE IS PROVIDED BY CARNEGIE MELLON UNIVERSITY" in readme


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(KeyError, match="go_forward, go_somewhere"):
        voices.caller("greeting")
    with pytest.raises(KeyError, match="answer, greeting"):
        voices.bot("number")
