"""The product of matrices against libsamplerate itself: the same filter, before anything is rounded."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import samplerate
from hypothesis import given, settings
from hypothesis import strategies as st

from callbot.audio.polyphase import Polyphase, read_filter

CONVERTERS = ("sinc_fastest", "sinc_medium", "sinc_best")
RATES = ((8000, 16_000), (24_000, 8000), (16_000, 8000), (48_000, 8000), (22_050, 8000))

Noise = npt.NDArray[np.int16]


def noise(samples: int, seed: int = 3) -> Noise:
    """Full-scale: the largest that the arithmetic meets."""
    return np.random.default_rng(seed).integers(-32768, 32768, samples, dtype=np.int16)


@pytest.mark.parametrize("converter", CONVERTERS)
@pytest.mark.parametrize(("source_hz", "target_hz"), RATES)
def test_a_stream_equals_libsamplerates_to_a_hundredth_of_a_step(converter: str, source_hz: int, target_hz: int) -> None:
    """Of full-scale noise, in steps of s16: libsamplerate's own figures are floats of 24 bits, good to 0.004."""
    kernel = read_filter(converter, source_hz, target_hz)
    samples = noise(source_hz // 2)
    ours = Polyphase(kernel, slices=2).process(samples)
    padded = np.concatenate([samples, np.zeros(source_hz // 10, np.int16)]).astype(np.float32)
    theirs = samplerate.resample(padded, target_hz / source_hz, converter)[: ours.size - kernel.delay]
    assert np.max(np.abs(theirs)) > 20_000
    assert np.max(np.abs(ours[kernel.delay :] - theirs)) < 0.02


@pytest.mark.parametrize("converter", CONVERTERS)
@pytest.mark.parametrize(("source_hz", "target_hz"), RATES)
def test_every_sum_is_exact_so_its_order_does_not_matter(converter: str, source_hz: int, target_hz: int) -> None:
    """16 bits of sample, 30 behind the point and two before it of coefficients, their sums included: 48 of a double's 53."""
    matrix = read_filter(converter, source_hz, target_hz).matrix
    steps = matrix * 2.0**30
    assert np.array_equal(steps, np.rint(steps))
    assert np.max(np.abs(matrix).sum(axis=0)) <= 4


@settings(max_examples=50)
@given(cuts=st.lists(st.integers(0, 2000), max_size=8), converter=st.sampled_from(CONVERTERS))
def test_going_up_any_cut_gives_the_same_doubles(cuts: list[int], converter: str) -> None:
    samples = noise(2000)
    kernel = read_filter(converter, 8000, 16_000)
    whole, cut_up = Polyphase(kernel), Polyphase(kernel)
    edges = [0, *sorted(cuts), 2000]
    pieces = [cut_up.process(samples[start:end]) for start, end in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), whole.process(samples))


def test_however_many_slices_go_into_one_product_the_doubles_are_the_same() -> None:
    kernel, samples = read_filter("sinc_medium", 24_000, 8000), noise(480 * 7)
    single = Polyphase(kernel).process(samples)
    assert np.array_equal(Polyphase(kernel, slices=2).process(samples), single)
    assert np.array_equal(Polyphase(kernel, slices=9).process(samples), single)


def test_after_a_reset_nothing_is_left() -> None:
    kernel = read_filter("sinc_medium", 24_000, 8000)
    used = Polyphase(kernel)
    used.process(noise(4800, seed=1))
    used.reset()
    assert np.array_equal(used.process(noise(960)), Polyphase(kernel).process(noise(960)))


def test_a_filter_that_libsamplerate_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="converter"):
        read_filter("sinc_worst", 8000, 16_000)
