"""The sound of the load: noise at the level of quiet speech, with short loud bursts that mark places in it.

A burst is found again on the far side by its amplitude alone, whatever was resampled on the way.
"""

import base64

import audioop
import numpy as np

LOOP_S = 2.0
BURSTS_S = (0.1, 0.6, 1.1, 1.6)  # seconds into the loop; each gets an offset of its own within its frame
_BURST_MS = 12
_LOUD, _SOFT = 12_000, 400
THRESHOLD = 5_000


def _loop(rate_hz: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Two seconds of s16 and the first sample of each burst."""
    random = np.random.default_rng(seed)
    samples = random.normal(0, _SOFT, int(LOOP_S * rate_hz))
    places = []
    length = rate_hz * _BURST_MS // 1000
    for start_s in BURSTS_S:
        place = int((start_s + random.uniform(0, 0.02)) * rate_hz)
        samples[place : place + length] = _LOUD * np.sin(2 * np.pi * 1000 * np.arange(length) / rate_hz + np.pi / 2)
        places.append(place)
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2"), places


def caller_loop(seed: int) -> tuple[list[str], dict[int, int]]:
    """Base64 payloads of 20 ms mu-law frames, and which of them begin a burst."""
    samples, places = _loop(8_000, seed)
    mulaw = audioop.lin2ulaw(samples.tobytes(), 2)
    frames = [base64.b64encode(mulaw[at : at + 160]).decode() for at in range(0, len(mulaw), 160)]
    return frames, {place // 160: number for number, place in enumerate(places)}


def caller_voice(seed: int) -> np.ndarray:
    """The caller's sound as it is sent, one round of the loop: s16 at 8 kHz."""
    frames, _ = caller_loop(seed)
    return np.frombuffer(audioop.ulaw2lin(b"".join(base64.b64decode(frame) for frame in frames), 2), "<i2")


def likeness(heard: np.ndarray, voice: np.ndarray) -> float:
    """How much of a voice is in what was heard, wherever it begins; 1 is all of it. Loud bursts, alike in all, count little."""
    heard, voice = (np.clip(samples.astype(float), -3 * _SOFT, 3 * _SOFT) for samples in (heard, voice))
    if len(heard) < len(voice):
        return 0.0
    scale = np.linalg.norm(voice) * np.linalg.norm(heard) * np.sqrt(len(voice) / len(heard))
    return float(np.max(np.correlate(heard, voice, "valid")) / scale) if scale else 0.0


def model_loop(seed: int, chunk_ms: int) -> tuple[list[bytes], dict[int, int]]:
    """Server messages with 24 kHz audio in chunks, and which of them begin a burst."""
    samples, places = _loop(24_000, seed)
    pcm, step = samples.tobytes(), 24 * chunk_ms * 2
    messages = [
        b'{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"'
        + base64.b64encode(pcm[at : at + step])
        + b'"}}]}}}'
        for at in range(0, len(pcm), step)
    ]
    return messages, {place * 2 // step: number for number, place in enumerate(places)}


class BurstFinder:
    """Says when a burst begins in what arrives; a burst is one although several chunks carry it."""

    def __init__(self, gap_samples: int) -> None:
        self._gap = gap_samples
        self._since = gap_samples

    def found(self, samples: np.ndarray) -> bool:
        """Whether a new burst begins in these samples."""
        loud = np.flatnonzero(np.abs(samples) > THRESHOLD)
        if not len(loud):
            self._since += len(samples)
            return False
        begins = self._since + int(loud[0]) >= self._gap
        self._since = len(samples) - 1 - int(loud[-1])
        return begins
