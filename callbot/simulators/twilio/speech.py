"""What <Say> sounds like: espeak-ng's voice, where it is installed."""

import asyncio
import io
import shutil
import subprocess
import wave
from functools import lru_cache

import audioop

PROGRAM = "espeak-ng"
_TIME_LIMIT_S = 20.0


def is_installed() -> bool:
    """Whether texts can be spoken on this machine."""
    return shutil.which(PROGRAM) is not None


async def spoken(text: str, language: str = "") -> bytes:
    """Return a text as 8 kHz mu-law; nothing when the program fails on it."""
    return await asyncio.to_thread(_spoken, text, language.lower() or "en-us")


@lru_cache(maxsize=64)
def _spoken(text: str, language: str) -> bytes:
    for voice in (language, "en-us"):  # a language that it does not have is spoken as English
        command = [PROGRAM, "-v", voice, "--stdin", "--stdout"]
        done = subprocess.run(  # noqa: S603 - the text goes by stdin, and no shell reads the rest
            command, input=text.encode(), capture_output=True, timeout=_TIME_LIMIT_S, check=False
        )
        if done.returncode == 0 and done.stdout:
            return _to_mulaw(done.stdout)
    return b""


def _to_mulaw(content: bytes) -> bytes:
    with wave.open(io.BytesIO(content)) as file:
        rate_hz = file.getframerate()
        samples = file.readframes(file.getnframes())  # the length in its header is not known to a pipe, and too great
    lower, _ = audioop.ratecv(samples[: len(samples) // 2 * 2], 2, 1, rate_hz, 8000, None)
    return audioop.lin2ulaw(lower, 2)
