"""When the caller speaks, judged by energy alone: the clock that the answer's latency is measured against.

The model does its own endpointing and never says when it thought that the caller had finished. This detector does,
in audio time, from the frames themselves.

Theory of operation. The noise floor is the quietest that the line has been in the last two seconds: speech has gaps
in any two seconds, noise has none (minimum statistics, R. Martin 2001, here on whole-band energy). A frame well above
the floor is speech; once someone speaks, a frame a little above it still is (hysteresis). Speech begins after
`min_speech_ms` of such frames, so a click does not begin it, and ends when none came for `hangover_ms`, so the stop
in "at eight" does not end it. Digital silence is the network's, not the line's, and never enters the floor: the
first frames after a gap would all look loud.

The floor has a ceiling, so that a call that begins in mid-word is heard. A sound above it that hardly swings for two seconds
(a fan, a tone) is no speech all the same, and one that goes on for twelve seconds without ever dropping as the gaps between
words do (music) is taken for noise, too: from then on only what is louder than it ever was counts as speech, until it stops.

Limits: speech 6 dB over the noise or less is not heard; a steady sound (a tone, a fan switched on) counts as speech
for up to two seconds, until the floor has followed; a key press counts, too. Music with gaps like those of speech is speech.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from callbot.audio.g711 import BYTES_PER_MS
from callbot.audio.levels import SILENT_DB, mulaw_level_dbm0

DEFAULT_HANGOVER_MS: Final = 500
DEFAULT_MIN_SPEECH_MS: Final = 80

_ENTER_OVER_FLOOR_DB: Final = 8.0
"""Noise strays 2 dB from its floor in 20 ms frames; the syllables of speech at 15 dB SNR reach 15 to 20."""
_STAY_OVER_FLOOR_DB: Final = 5.0
"""Weak endings count as speech, noise still does not."""
_FAINTEST_SPEECH_DBM0: Final = -45.0
"""On a silent line the floor is no guide. Comfort noise lies under -55, a quiet caller's syllables over -40."""
_HIGHEST_FLOOR_DBM0: Final = -28.0
"""So that a call that begins in mid-word is heard: no line's noise is louder, no speech at -20 is lost."""

_STEADY_SWING_DB: Final = 6.0
"""Between the quietest and the loudest of two seconds, smoothed: noise has 3, speech 15 and more."""
_NOISE_SWING_DB: Final = 12.0
"""The same for music without gaps and for a crowd; the gaps of 40 ms between syllables make 13 at least."""
LONGEST_SPEECH_MS: Final = 12_000
"""Nobody speaks for so long without a pause of half a second or at least the gaps between words."""

_FLOOR_WINDOWS: Final = 8
_FLOOR_WINDOW_MS: Final = 250
_STEADY_MS: Final = _FLOOR_WINDOW_MS * (_FLOOR_WINDOWS - 1)
"""Eight windows of 250 ms: two seconds, in steps that are cheap to keep."""
_NOTHING_DB: Final = (inf, -inf)
_SMOOTHING: Final = 0.25
"""Per frame. One half-lost frame is 3 to 12 dB too quiet and must not pull the floor down for two seconds."""
_SOLID_MS: Final = 40
"""A lone loud frame in a pause is a click: only from two in a row does speech go on."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller has begun to speak, `start_offset_ms` of audio before the end of the frame just pushed."""

    start_offset_ms: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has finished: spoke for `speech_ms`, until `end_offset_ms` of audio before the end of this frame.

    The true end of speech is the frame's arrival less `end_offset_ms`, which is at least the hangover. What turned out to be
    a noise has a `speech_ms` of 0.
    """

    speech_ms: int
    end_offset_ms: int


class SpeechDetector:
    """Tells from mu-law frames when speech starts and ends; about 2 us a frame.

    Raises ValueError for a hangover or a minimum that is not positive.
    """

    __slots__ = (
        "_begun_ms",
        "_floor_db",
        "_hangover_ms",
        "_is_noise",
        "_loud_ms",
        "_min_speech_ms",
        "_noise_low_db",
        "_now_ms",
        "_run_begun_ms",
        "_smooth_db",
        "_speech_end_ms",
        "_window_end_ms",
        "_window_high_db",
        "_window_low_db",
        "_windows_db",
        "speaking",
    )

    def __init__(self, *, hangover_ms: int = DEFAULT_HANGOVER_MS, min_speech_ms: int = DEFAULT_MIN_SPEECH_MS) -> None:
        if hangover_ms <= 0 or min_speech_ms <= 0:
            raise ValueError(f"hangover_ms is {hangover_ms}, min_speech_ms {min_speech_ms}; give positive milliseconds")
        self._hangover_ms = hangover_ms
        self._min_speech_ms = min_speech_ms
        self.reset()

    def reset(self) -> None:
        """Forget all audio, the noise floor too: for another stream."""
        self.speaking = False
        self._now_ms = 0.0  # audio pushed so far
        self._run_begun_ms: float | None = None  # where the unbroken run of speech frames up to now began
        self._loud_ms = 0.0  # how much of that run was loud enough to begin speech
        self._begun_ms = 0.0  # where the speech that goes on began
        self._speech_end_ms = 0.0  # where its last speech frame ended
        self._smooth_db = _HIGHEST_FLOOR_DBM0  # the level that feeds the floor; glides down in the first 0.2 s
        self._windows_db: deque[tuple[float, float]] = deque(maxlen=_FLOOR_WINDOWS)  # lowest and highest of the complete ones
        self._window_low_db, self._window_high_db = _NOTHING_DB
        self._window_end_ms = float(_FLOOR_WINDOW_MS)
        self._floor_db = _HIGHEST_FLOOR_DBM0
        self._noise_low_db: float | None = None  # while a loud noise goes on: how low it goes
        self._is_noise = False  # what was taken for speech has turned out to be one

    @property
    def noise_floor_dbm0(self) -> float:
        """What the line's noise is taken for, in dBm0."""
        return self._floor_db

    def push(self, mulaw_frame: bytes) -> SpeechStarted | SpeechEnded | None:
        """Take the next 20 ms of mu-law; tell if speech has just started or ended.

        A frame of another length counts as one frame of its own duration; an empty one does nothing.
        """
        if not mulaw_frame:
            return None
        frame_ms = len(mulaw_frame) / BYTES_PER_MS
        self._now_ms += frame_ms
        level_db = mulaw_level_dbm0(mulaw_frame)
        if level_db > SILENT_DB:
            self._follow_floor(level_db)
        if level_db < max(self._floor_db + _STAY_OVER_FLOOR_DB, _FAINTEST_SPEECH_DBM0):
            self._run_begun_ms = None
            self._loud_ms = 0.0
            return self._end_if_over() if self.speaking else None
        return self._hear(frame_ms, loud=level_db >= self._floor_db + _ENTER_OVER_FLOOR_DB)

    def pass_time(self, duration_ms: float) -> SpeechEnded | None:
        """Let time go by for which no frame came: lost ones, or silence that was not sent. It ends speech as silence does."""
        self._now_ms += duration_ms
        self._run_begun_ms = None
        self._loud_ms = 0.0
        return self._end_if_over() if self.speaking else None

    def _hear(self, frame_ms: float, *, loud: bool) -> SpeechStarted | SpeechEnded | None:
        if self._run_begun_ms is None:
            self._run_begun_ms = self._now_ms - frame_ms
        if loud:
            self._loud_ms += frame_ms
        if self.speaking:
            if self._now_ms - self._run_begun_ms >= _SOLID_MS:
                self._speech_end_ms = self._now_ms
                return None
            return self._end_if_over()
        if self._loud_ms < self._min_speech_ms:
            return None
        self.speaking = True
        self._is_noise = False
        self._begun_ms = self._run_begun_ms
        self._speech_end_ms = self._now_ms
        return SpeechStarted(start_offset_ms=round(self._now_ms - self._begun_ms))

    def _end_if_over(self) -> SpeechEnded | None:
        end_offset_ms = self._now_ms - self._speech_end_ms
        if end_offset_ms < self._hangover_ms:
            return None
        self.speaking = False
        speech_ms = 0 if self._is_noise else round(self._speech_end_ms - self._begun_ms)
        return SpeechEnded(speech_ms=speech_ms, end_offset_ms=round(end_offset_ms))

    def _follow_floor(self, level_db: float) -> None:
        smooth_db = self._smooth_db + _SMOOTHING * (level_db - self._smooth_db)
        self._smooth_db = smooth_db
        self._window_low_db = min(self._window_low_db, smooth_db)
        self._window_high_db = max(self._window_high_db, smooth_db)
        if self._now_ms >= self._window_end_ms:
            self._close_window()
        elif self._noise_low_db is None and smooth_db < self._floor_db:
            self._floor_db = smooth_db

    def _close_window(self) -> None:
        window_low_db = self._window_low_db
        self._windows_db.append((window_low_db, self._window_high_db))
        self._window_end_ms = self._now_ms + _FLOOR_WINDOW_MS
        self._window_low_db, self._window_high_db = _NOTHING_DB
        low_db, high_db = min(low for low, _ in self._windows_db), max(high for _, high in self._windows_db)
        swing_db = high_db - low_db if len(self._windows_db) == _FLOOR_WINDOWS else inf
        if swing_db <= _STEADY_SWING_DB:
            self._floor_db = low_db
            self._noise_low_db = low_db if low_db > _HIGHEST_FLOOR_DBM0 else None
            if self._run_begun_ms is not None and self._now_ms - self._run_begun_ms >= _STEADY_MS:
                self._is_noise = True
        elif self.speaking and swing_db <= _NOISE_SWING_DB and self._now_ms - self._begun_ms >= LONGEST_SPEECH_MS:
            self._floor_db, self._noise_low_db = high_db, low_db
            self._is_noise = True
        elif self._noise_low_db is None or window_low_db < self._noise_low_db - _STEADY_SWING_DB:
            self._noise_low_db = None
            self._floor_db = min(_HIGHEST_FLOOR_DBM0, low_db)
