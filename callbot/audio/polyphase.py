"""libsamplerate's own filters, applied as one matrix product for each 20 ms.

Between two fixed rates a sinc converter does the same to every block of samples: it is a polyphase filter, a linear map of
the last few milliseconds of input to the next block of output. libsamplerate works it out sample by sample, with the
coefficients interpolated anew each time, in 0.7 and 1.0 million instructions a frame; the product below, with all else on the
way from wire to wire, takes 0.14 and 0.17 (`make instructions`). So the map is asked of libsamplerate, once a process, by the
impulses of one block, and kept.

The arithmetic is exact, so a stream gives the same bytes however it is cut, on every machine and with every BLAS: samples are
integers of 16 bits, coefficients are held in steps of 2**-30, no sum of them exceeds 4, and 48 bits fit a double's 53.
"""

import functools
from dataclasses import dataclass
from math import ceil, gcd
from typing import Final

import numpy as np
import numpy.typing as npt
import samplerate

SLICES_PER_SECOND: Final = 50
"""A slice is 20 ms, a frame of Twilio's."""

# Rows of one product. Fewer mean more to multiply (a row's window is its block and the filter's reach), more mean smaller
# products: 5 is within 10 % of the best for both directions, measured with 1 to 20.
_BLOCKS_PER_SLICE: Final = 5
_STEP: Final = 2.0**-30

type Samples = npt.NDArray[np.int16]
type Exact = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """One of libsamplerate's filters between two rates.

    A slice is `slice_blocks` blocks. A block of `block` input samples gives `outputs` samples of output: the product of the
    block, with the `reach` samples before it, and `matrix` (`reach + block` rows, `outputs` columns). The output is `delay`
    samples late, just enough for the filter to need no input that has not come: as late as libsamplerate's own, which gives
    that much less at first.
    """

    slice_blocks: int
    block: int
    outputs: int
    reach: int
    delay: int
    matrix: Exact


@functools.cache
def read_filter(converter: str, source_rate_hz: int, target_rate_hz: int) -> Filter:
    """Ask libsamplerate for its filter `converter` between two rates, both multiples of 50 Hz. Takes 10 to 150 ms, once.

    Raises ValueError for a converter that libsamplerate does not have.
    """
    slice_in, slice_out = source_rate_hz // SLICES_PER_SECOND, target_rate_hz // SLICES_PER_SECOND
    blocks = gcd(_BLOCKS_PER_SLICE, gcd(slice_in, slice_out))
    block, outputs = slice_in // blocks, slice_out // blocks
    ratio = target_rate_hz / source_rate_hz
    # A converter gives all of a slice but what it has to look ahead.
    look_ahead = samplerate.Resampler(converter, 1).process(np.zeros(slice_in, np.float32), ratio)
    delay = slice_out - len(look_ahead)

    # An impulse is heard `delay` before it and after it: two of them cannot touch when they are so many blocks apart.
    apart = ceil(2 * (delay + 1) / outputs) + 2
    impulses = np.zeros((block + 1) * apart * block, np.float32)
    places = np.arange(block)
    impulses[(places + 1) * apart * block + places] = 1.0
    heard = np.concatenate([np.zeros(delay), samplerate.resample(impulses, ratio, converter)])
    responses = heard[apart * outputs : (block + 1) * apart * outputs].reshape(block, apart, outputs)
    # Seen from a block of output, the impulse that lies `n` blocks back is the one heard in its n-th block.
    matrix = responses[:, ::-1].transpose(1, 0, 2).reshape(apart * block, outputs)
    unused = int(np.flatnonzero(matrix.any(axis=1))[0])
    matrix = np.ascontiguousarray(np.rint(matrix[unused:] / _STEP) * _STEP)
    return Filter(slice_blocks=blocks, block=block, outputs=outputs, reach=len(matrix) - block, delay=delay, matrix=matrix)


class Polyphase:
    """One stream's state at a `Filter`: its last `reach` samples. One direction of one call.

    `slices` says how many slices go into one product; more are cut up.
    """

    __slots__ = ("_filter", "_most", "_overlapping", "_rows", "_window")

    def __init__(self, kernel: Filter, *, slices: int = 1) -> None:
        rows = slices * kernel.slice_blocks
        self._filter = kernel
        self._most = rows * kernel.block
        self._window = np.zeros(kernel.reach + self._most)
        self._rows = np.empty((rows, kernel.reach + kernel.block))
        self._overlapping = np.lib.stride_tricks.sliding_window_view(self._window, self._rows.shape[1])[:: kernel.block]

    def process(self, samples: Samples) -> Exact:
        """Take samples, give as many as the ratio says, `delay` late: 160 give 320 going up, 480 give 160 going down.

        Going down, where several samples in are one out, whole slices only.
        """
        most = self._most
        if samples.size <= most:
            return self._convert(samples)
        return np.concatenate([self._convert(samples[start : start + most]) for start in range(0, samples.size, most)])

    def reset(self) -> None:
        """Forget all audio."""
        self._window.fill(0.0)

    def _convert(self, samples: Samples) -> Exact:
        kernel, window = self._filter, self._window
        reach, count = kernel.reach, samples.size
        end = reach + count
        blocks, rest = divmod(count, kernel.block)
        window[reach:end] = samples
        if rest:  # the block is filled up with silence, and what that gives is cut off
            blocks += 1
            window[end:] = 0.0
        rows = self._rows[:blocks]
        np.copyto(rows, self._overlapping[:blocks])  # BLAS takes no rows that overlap
        converted = (rows @ kernel.matrix).reshape(-1)
        window[:reach] = window[count:end]
        return converted[: count * kernel.outputs // kernel.block] if rest else converted
