"""How loud, in the telephone's units.

dBm0 is the level on a telephone line: 0 dBm0 is G.711's "digital milliwatt", a sine 3.17 dB under the loudest that
mu-law can carry. dBFS here is against a full-scale square, so a full-scale sine has -3.0 dBFS. On one signal the two
differ by 6.2 dB: `dBm0 = dBFS + 6.2`.

For orientation, in dBm0: speech at a nominal level -20 (quiet callers -35), a clean line's noise -65 to -50, comfort
noise that dithers the lowest four mu-law steps about -60, the faintest mu-law step -65, digital silence no level.
"""

import math
from typing import Final

import audioop

from callbot.audio import g711

SILENT_DB: Final = -100.0
"""What the level functions give for digital silence, which has no logarithm. Under anything that s16 can hold."""

AUDIBLE_DBM0: Final = -50.0
"""From here up a listener would say that there was sound; comfort noise and rounding stay 8 dB and more below."""

_DBM0_PER_S16_DB: Final = 3.17 - 20 * math.log10(32636 / math.sqrt(2))
"""+3.17 dBm0 is the sine that just reaches mu-law's overload point: 8159 in G.711's 14 bits, 32636 in s16."""

_OFFSET_S16: Final = 16
"""A mean under this has -60 dBm0 at the most, as much as a clean line's noise: not worth the microsecond."""

_DBFS_PER_S16_DB: Final = -20 * math.log10(32768)


def mulaw_level_dbm0(mulaw: bytes) -> float:
    """Give the RMS level of mu-law bytes in dBm0, less their mean; `SILENT_DB` if there are none or all are alike."""
    rms = _rms_without_offset(g711.decode(mulaw))
    return 20 * math.log10(rms) + _DBM0_PER_S16_DB if rms else SILENT_DB


def pcm_level_dbfs(pcm: bytes) -> float:
    """Give the RMS level of s16 bytes (any rate) in dBFS, less their mean; `SILENT_DB` if there are none or all are alike.

    Half a sample is ignored.
    """
    rms = _rms_without_offset(_whole_samples(pcm))
    return 20 * math.log10(rms) + _DBFS_PER_S16_DB if rms else SILENT_DB


def is_audible_mulaw(mulaw: bytes, threshold_dbm0: float = AUDIBLE_DBM0) -> bool:
    """Tell whether mu-law bytes hold sound: what tells a spoken turn from a turn of zero energy."""
    return mulaw_level_dbm0(mulaw) >= threshold_dbm0


def is_audible_pcm(pcm: bytes, threshold_dbm0: float = AUDIBLE_DBM0) -> bool:
    """Tell whether s16 bytes (any rate) hold sound, as loud as they will be once they are mu-law.

    Ask it chunk by chunk: over a long turn one short word drowns in the silence around it.
    """
    return pcm_level_dbfs(pcm) - _DBFS_PER_S16_DB + _DBM0_PER_S16_DB >= threshold_dbm0


def _rms_without_offset(pcm: bytes) -> int:
    """A constant offset, which some gateways add, is no sound."""
    offset = audioop.avg(pcm, 2)
    return audioop.rms(audioop.bias(pcm, 2, -offset) if abs(offset) >= _OFFSET_S16 else pcm, 2)


def _whole_samples(pcm: bytes) -> bytes:
    return pcm if len(pcm) % 2 == 0 else pcm[:-1]
