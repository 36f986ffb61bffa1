"""Recorded people for the stand-ins: the caller's utterances and the voice that the model's stand-in answers with.

The caller is 8 kHz s16le mono, the telephone's rate; the bot is 24 kHz s16le mono, the rate of Gemini Live's audio. All are
levelled to about -20 dBFS rms of speech. Source, licence and how the files were made: `README.md` beside this module.
"""

import io
import wave
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

CALLER_RATE_HZ: Final = 8_000
BOT_RATE_HZ: Final = 24_000


@dataclass(frozen=True, slots=True)
class Voice:
    """One recording: who speaks (`caller` or `bot`), the words, and its length in seconds."""

    speaker: Literal["caller", "bot"]
    transcript: str
    seconds: float


CATALOGUE: Final[dict[str, Voice]] = {
    "go_forward": Voice("caller", "Go forward ten meters.", 1.98),
    "go_somewhere": Voice("caller", "Go somewhere and do something.", 1.91),
    "number": Voice("caller", "Two nine three four zero.", 1.58),
    "queen_of_clubs": Voice("caller", "Four, queen of clubs.", 1.95),
    "three_cards": Voice("caller", "Eight of spades, four of clubs, seven of hearts.", 3.26),
    "greeting": Voice("bot", "He was not an ill-disposed young man,", 2.78),
    "answer": Voice("bot", "He might even have been made amiable himself;", 3.14),
    "afterthought": Voice("bot", "unless to be rather cold hearted and rather selfish is to be ill-disposed:", 5.02),
    "long_answer": Voice(
        "bot",
        "and Mr. John Dashwood had then leisure to consider how much there might prudently be in his power to do for them.",
        6.95,
    ),
}


def caller(name: str) -> bytes:
    """The caller's utterance `name`: s16le mono at 8 kHz. `KeyError` names the utterances that exist."""
    return _pcm("caller", name)


def bot(name: str) -> bytes:
    """The bot's utterance `name`: s16le mono at 24 kHz. `KeyError` names the utterances that exist."""
    return _pcm("bot", name)


@cache
def _pcm(speaker: Literal["caller", "bot"], name: str) -> bytes:
    voice = CATALOGUE.get(name)
    if voice is None or voice.speaker != speaker:
        known = ", ".join(sorted(known for known, voice in CATALOGUE.items() if voice.speaker == speaker))
        raise KeyError(f"no {speaker} voice {name!r}; there are: {known}")
    recording = files(__name__).joinpath(f"{speaker}_{name}.wav").read_bytes()
    with wave.open(io.BytesIO(recording)) as reader:
        pcm: bytes = reader.readframes(reader.getnframes())
    return pcm
