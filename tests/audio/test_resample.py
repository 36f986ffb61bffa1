"""The converters against the telephone band's bars, and against every way that a stream may be cut."""

import audioop
import numpy as np
import pytest
import samplerate
from hypothesis import given, settings
from hypothesis import strategies as st
from tone_analysis import (
    Signal,
    band_rms,
    decibels,
    fit,
    from_mulaw,
    from_pcm,
    middle,
    rms,
    snr_db,
    to_mulaw,
    to_pcm,
    tone,
    tone_dbm0,
)

from callbot.audio import FRAME_BYTES, CallerUpsampler, Converter, ModelDownsampler
from callbot.audio.resample import MODEL_INPUT_RATE_HZ, MODEL_OUTPUT_RATE_HZ

PHONE_HZ = 8000
TELEPHONE_BAND_HZ = (300, 500, 1000, 2000, 3000, 3200, 3400)
SLICE_BYTES = 960  # 20 ms at 24 kHz


def noise_pcm(samples: int, seed: int = 7) -> bytes:
    """Full-scale noise: no two samples alike, and it clips."""
    return np.random.default_rng(seed).integers(-32768, 32768, samples, dtype=np.int16).tobytes()


def noise_mulaw(length: int, seed: int = 7) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, over and over until it is used up; sizes may be 0, one is not."""
    pieces, start, index = [], 0, 0
    while start < len(stream):
        size = sizes[index % len(sizes)]
        pieces.append(stream[start : start + size])
        start, index = start + size, index + 1
    return pieces


def upsampled(mulaw: bytes, converter: Converter = Converter.SINC_MEDIUM) -> Signal:
    """One push, flushed, without the silence that it was primed with."""
    upsampler = CallerUpsampler(converter)
    pcm = upsampler.push(mulaw) + upsampler.flush()
    return from_pcm(pcm)[round(upsampler.delay_ms * MODEL_INPUT_RATE_HZ / 1000) :]


def downsampled(signal: Signal, rate_hz: int = MODEL_OUTPUT_RATE_HZ) -> bytes:
    downsampler = ModelDownsampler(source_rate_hz=rate_hz)
    return downsampler.push(to_pcm(signal)) + downsampler.flush()


def one_shot(pcm: bytes, rate_hz: int, converter: Converter) -> bytes:
    """The whole turn by the library's own function for whole signals, then the obvious conversion to mu-law."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    wanted = -(-samples.size * PHONE_HZ // rate_hz)
    padded = np.concatenate([samples, np.zeros(rate_hz // 20, np.float32)])
    converted = samplerate.resample(padded, PHONE_HZ / rate_hz, converter.value)[:wanted]
    return audioop.lin2ulaw(np.clip(np.rint(converted), -32768, 32767).astype("<i2").tobytes(), 2)


any_cut = st.lists(st.integers(0, 3000), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) >= 25)


class TestCallerUpsampler:
    @pytest.mark.parametrize("converter", Converter)
    def test_every_frame_gives_640_bytes_from_the_first_on(self, converter: Converter) -> None:
        upsampler = CallerUpsampler(converter)
        frames = cut(noise_mulaw(50 * FRAME_BYTES), [FRAME_BYTES])
        assert {len(upsampler.push(frame)) for frame in frames} == {640}

    def test_an_empty_push_gives_nothing_and_changes_nothing(self) -> None:
        upsampler, undisturbed = CallerUpsampler(), CallerUpsampler()
        frame = noise_mulaw(FRAME_BYTES)
        assert upsampler.push(b"") == b""
        assert upsampler.push(frame) == undisturbed.push(frame)
        assert upsampler.push(b"") == b""
        assert upsampler.push(frame) == undisturbed.push(frame)

    @settings(max_examples=25)
    @given(sizes=any_cut, converter=st.sampled_from(Converter))
    def test_any_cut_of_the_stream_gives_the_same_bytes(self, sizes: list[int], converter: Converter) -> None:
        stream = noise_mulaw(6000)
        whole, cut_up = CallerUpsampler(converter), CallerUpsampler(converter)
        expected = whole.push(stream) + whole.flush()
        assert b"".join(map(cut_up.push, cut(stream, sizes))) + cut_up.flush() == expected

    def test_one_byte_at_a_time_gives_the_same_bytes(self) -> None:
        stream = noise_mulaw(800)
        assert b"".join(map(CallerUpsampler().push, cut(stream, [1]))) == CallerUpsampler().push(stream)

    def test_after_reset_and_after_flush_it_is_as_good_as_new(self) -> None:
        old, next_caller = noise_mulaw(1234, seed=1), noise_mulaw(1234, seed=2)
        expected = CallerUpsampler().push(next_caller)
        upsampler = CallerUpsampler()
        upsampler.push(old)
        upsampler.reset()
        assert upsampler.push(next_caller) == expected
        upsampler.flush()
        assert upsampler.push(next_caller) == expected

    @pytest.mark.parametrize("converter", Converter)
    def test_the_delay_is_what_it_says_and_the_flush_gives_exactly_the_rest(self, converter: Converter) -> None:
        upsampler = CallerUpsampler(converter)
        click = bytearray(b"\xff" * 400)
        click[200] = 0x80  # the loudest positive code
        pcm = from_pcm(upsampler.push(bytes(click)) + upsampler.flush())
        delay = round(upsampler.delay_ms * MODEL_INPUT_RATE_HZ / 1000)
        assert pcm.size == 2 * 400 + delay
        assert int(np.argmax(np.abs(pcm))) == 2 * 200 + delay

    def test_the_default_converter_delays_less_than_6_ms(self) -> None:
        assert CallerUpsampler().delay_ms == pytest.approx(5.875)

    @pytest.mark.parametrize("freq_hz", TELEPHONE_BAND_HZ)
    def test_the_telephone_band_passes_within_0_05_db(self, freq_hz: int) -> None:
        mulaw = to_mulaw(tone(freq_hz, PHONE_HZ, 2.5, -6))
        before, _ = fit(middle(from_mulaw(mulaw)), freq_hz, PHONE_HZ)
        after, _ = fit(middle(upsampled(mulaw), 4000), freq_hz, MODEL_INPUT_RATE_HZ)
        assert abs(decibels(after / before)) <= 0.05

    @pytest.mark.parametrize("freq_hz", TELEPHONE_BAND_HZ)
    def test_images_above_4_khz_are_90_db_down(self, freq_hz: int) -> None:
        output = middle(upsampled(to_mulaw(tone(freq_hz, PHONE_HZ, 2.5, -6))), 4000)
        images = band_rms(output, MODEL_INPUT_RATE_HZ, 4100, 8000)
        assert decibels(rms(output) / images) >= 90

    def test_a_tone_keeps_the_signal_to_noise_ratio_that_mulaw_allows(self) -> None:
        mulaw = to_mulaw(tone_dbm0(1004, PHONE_HZ, 2.5, -10))
        allowed_db = snr_db(middle(from_mulaw(mulaw)), 1004, PHONE_HZ)
        output = middle(upsampled(mulaw), 4000)
        assert allowed_db > 36  # G.711 itself, so that the next line means something
        assert snr_db(output, 1004, MODEL_INPUT_RATE_HZ) >= allowed_db - 1

    @pytest.mark.parametrize("converter", Converter)
    def test_a_full_scale_square_saturates_and_never_wraps(self, converter: Converter) -> None:
        square = np.where(tone(437, PHONE_HZ, 1, 0) >= 0, 32767.0, -32768.0)
        decoded = from_mulaw(to_mulaw(square)).astype(np.float32)
        ideal = samplerate.resample(decoded, 2.0, converter.value)
        output = upsampled(to_mulaw(square), converter)[: ideal.size]
        assert np.max(np.abs(ideal)) > 36_000  # the filter does overshoot
        assert np.max(np.abs(output - np.clip(ideal, -32768, 32767))) <= 0.51  # rounding, nothing else

    def test_three_minutes_of_frames_neither_lose_nor_add_a_sample(self) -> None:
        upsampler, frame = CallerUpsampler(Converter.SINC_FASTEST), noise_mulaw(FRAME_BYTES)
        assert sum(len(upsampler.push(frame)) for _ in range(9000)) == 9000 * 640


class TestModelDownsampler:
    @pytest.mark.parametrize("converter", Converter)
    @pytest.mark.parametrize("rate_hz", [24_000, 16_000, 48_000, 22_050])
    def test_a_turn_equals_the_one_shot_conversion_to_the_byte(self, rate_hz: int, converter: Converter) -> None:
        pcm = noise_pcm(rate_hz // 3)
        downsampler = ModelDownsampler(converter, rate_hz)
        turn = b"".join(map(downsampler.push, cut(pcm, [2, 2401, 7680, 9599, 1, 15360]))) + downsampler.flush()
        assert turn == one_shot(pcm, rate_hz, converter)

    @settings(max_examples=25)
    @given(sizes=any_cut, converter=st.sampled_from(Converter))
    def test_any_cut_of_a_turn_odd_bytes_included_gives_the_same_bytes(self, sizes: list[int], converter: Converter) -> None:
        pcm = noise_pcm(6001)
        downsampler = ModelDownsampler(converter)
        turn = b"".join(map(downsampler.push, cut(pcm, sizes))) + downsampler.flush()
        assert turn == one_shot(pcm, MODEL_OUTPUT_RATE_HZ, converter)

    def test_one_byte_at_a_time_gives_the_same_bytes(self) -> None:
        pcm, downsampler = noise_pcm(1500), ModelDownsampler()
        turn = b"".join(map(downsampler.push, cut(pcm, [1]))) + downsampler.flush()
        assert turn == one_shot(pcm, MODEL_OUTPUT_RATE_HZ, Converter.SINC_MEDIUM)

    @settings(max_examples=60)
    @given(
        samples=st.integers(0, 3000),
        rate_hz=st.sampled_from([8000, 16_000, 24_000, 48_000]),
        converter=st.sampled_from(Converter),
    )
    def test_a_turn_is_exactly_as_long_as_it_should_be(self, samples: int, rate_hz: int, converter: Converter) -> None:
        downsampler = ModelDownsampler(converter, rate_hz)
        turn = downsampler.push(bytes(2 * samples)) + downsampler.flush()
        assert len(turn) == -(-samples * PHONE_HZ // rate_hz)

    def test_the_first_20_ms_already_give_sound_and_every_slice_after_them_a_whole_frame(self) -> None:
        downsampler, pcm = ModelDownsampler(), noise_pcm(480)
        assert downsampler.push(pcm[:-1]) == b""
        assert len(downsampler.push(pcm[-1:])) == 114
        assert {len(downsampler.push(pcm)) for _ in range(100)} == {FRAME_BYTES}

    @pytest.mark.parametrize(
        ("converter", "pushes"), [(Converter.SINC_MEDIUM, (34368, 597)), (Converter.SINC_BEST, (108720, 600))]
    )
    def test_pushes_that_make_the_bare_library_drop_samples_lose_nothing(
        self, converter: Converter, pushes: tuple[int, int]
    ) -> None:
        pieces = cut(noise_pcm(sum(pushes) + 4800), [2 * size for size in (*pushes, 4800)])
        expected = one_shot(b"".join(pieces), MODEL_OUTPUT_RATE_HZ, converter)
        bare = samplerate.Resampler(converter.value, 1)
        bare_output = [bare.process(from_pcm(piece).astype(np.float32), 1 / 3) for piece in pieces]
        assert not expected.startswith(to_mulaw(np.concatenate(bare_output)))  # the trap is there
        downsampler = ModelDownsampler(converter)
        assert b"".join(map(downsampler.push, pieces)) + downsampler.flush() == expected

    def test_flushing_an_empty_turn_gives_nothing(self) -> None:
        downsampler = ModelDownsampler()
        assert downsampler.flush() == b""
        assert downsampler.flush() == b""

    def test_half_a_sample_at_the_end_of_a_turn_is_dropped(self) -> None:
        pcm, downsampler = noise_pcm(999), ModelDownsampler()
        turn = downsampler.push(pcm + b"\x7f") + downsampler.flush()
        assert turn == one_shot(pcm, MODEL_OUTPUT_RATE_HZ, Converter.SINC_MEDIUM)

    @pytest.mark.parametrize("rate_hz", [24_000, 8000])
    def test_after_a_barge_in_the_first_byte_out_is_that_of_a_fresh_call(self, rate_hz: int) -> None:
        interrupted, answer = noise_pcm(5000, seed=1)[:-1], noise_pcm(5000, seed=2)
        fresh = ModelDownsampler(source_rate_hz=rate_hz)
        expected = fresh.push(answer) + fresh.flush()
        downsampler = ModelDownsampler(source_rate_hz=rate_hz)
        downsampler.push(interrupted)  # ends in the middle of a sample
        downsampler.reset()
        assert downsampler.push(answer) + downsampler.flush() == expected
        assert downsampler.push(answer) + downsampler.flush() == expected  # a flush starts afresh, too

    def test_8_khz_passes_through_unfiltered(self) -> None:
        pcm, downsampler = noise_pcm(321), ModelDownsampler(source_rate_hz=8000)
        assert b"".join(map(downsampler.push, cut(pcm, [3, 1, 160]))) == audioop.lin2ulaw(pcm, 2)
        assert downsampler.flush() == b""

    @pytest.mark.parametrize("rate_hz", [0, -24_000, 7999, 11_025, 24_001])
    def test_a_rate_that_it_cannot_cut_into_slices_is_refused_by_name(self, rate_hz: int) -> None:
        with pytest.raises(ValueError, match=f"source_rate_hz is {rate_hz}; give a multiple of 50"):
            ModelDownsampler(source_rate_hz=rate_hz)

    def test_an_unknown_converter_is_refused(self) -> None:
        with pytest.raises(ValueError, match="linear"):
            ModelDownsampler("linear")
        with pytest.raises(ValueError, match="linear"):
            CallerUpsampler("linear")

    @pytest.mark.parametrize("freq_hz", TELEPHONE_BAND_HZ)
    def test_the_telephone_band_passes_within_0_05_db(self, freq_hz: int) -> None:
        direct, _ = fit(middle(from_mulaw(to_mulaw(tone(freq_hz, PHONE_HZ, 2.5, -6)))), freq_hz, PHONE_HZ)
        output = from_mulaw(downsampled(tone(freq_hz, MODEL_OUTPUT_RATE_HZ, 2.5, -6)))
        converted, _ = fit(middle(output), freq_hz, PHONE_HZ)
        assert abs(decibels(converted / direct)) <= 0.05

    @pytest.mark.parametrize("freq_hz", [4600, 5000, 6000, 7000, 8000, 9500, 11_000, 11_900])
    def test_what_lies_above_the_telephone_band_becomes_digital_silence(self, freq_hz: int) -> None:
        """A -6 dBFS tone that leaves no s16 sample but 0 is at least 90 dB down; mu-law's zero is 0xFF."""
        output = downsampled(tone(freq_hz, MODEL_OUTPUT_RATE_HZ, 1, -6))
        assert set(output[800:-800]) == {0xFF}

    def test_a_5_khz_tone_reaches_the_caller_60_db_under_a_1_khz_tone(self) -> None:
        """The whole spectrum, switching on and off included."""
        wanted = from_mulaw(downsampled(tone(1000, MODEL_OUTPUT_RATE_HZ, 2, -6)))
        alias = from_mulaw(downsampled(tone(5000, MODEL_OUTPUT_RATE_HZ, 2, -6)))
        assert decibels(band_rms(wanted, PHONE_HZ, 0, 4000) / band_rms(alias, PHONE_HZ, 0, 4000)) >= 60

    def test_the_converter_alone_keeps_thd_and_noise_91_db_under_a_1_khz_tone(self) -> None:
        """Before mu-law, which hides it: the s16 that equals the product's output to the byte (see above)."""
        pcm = to_pcm(tone(1000, MODEL_OUTPUT_RATE_HZ, 2, -6))
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        s16 = np.rint(samplerate.resample(samples, 1 / 3, "sinc_medium")).astype(np.float64)
        assert audioop.lin2ulaw(to_pcm(s16), 2)[:5000] == downsampled(from_pcm(pcm))[:5000]
        assert snr_db(middle(s16), 1000, PHONE_HZ) >= 91

    def test_a_tone_keeps_the_signal_to_noise_ratio_that_mulaw_allows(self) -> None:
        direct = from_mulaw(to_mulaw(tone_dbm0(1004, PHONE_HZ, 2.5, -10)))
        output = from_mulaw(downsampled(tone_dbm0(1004, MODEL_OUTPUT_RATE_HZ, 2.5, -10)))
        allowed_db = snr_db(middle(direct), 1004, PHONE_HZ)
        assert allowed_db > 36  # G.711 itself, so that the next line means something
        assert snr_db(middle(output), 1004, PHONE_HZ) >= allowed_db - 1

    @pytest.mark.parametrize("converter", Converter)
    def test_a_full_scale_square_saturates_and_never_wraps(self, converter: Converter) -> None:
        square = np.where(tone(437, MODEL_OUTPUT_RATE_HZ, 1, 0) >= 0, 32767.0, -32768.0)
        downsampler = ModelDownsampler(converter)
        output = from_mulaw(downsampler.push(to_pcm(square)) + downsampler.flush())
        ideal = samplerate.resample(square.astype(np.float32), 1 / 3, converter.value)
        assert np.max(np.abs(ideal)) > 36_000  # the filter does overshoot
        loud = np.abs(ideal) > 20_000
        assert np.all(np.sign(output[: ideal.size][loud]) == np.sign(ideal[loud]))
        assert np.max(output) == 32124  # mu-law's largest

    def test_three_minutes_of_slices_neither_lose_nor_add_a_sample(self) -> None:
        downsampler, pcm = ModelDownsampler(Converter.SINC_FASTEST), noise_pcm(480)
        sizes = [len(downsampler.push(pcm)) for _ in range(9000)]
        assert set(sizes[1:]) == {FRAME_BYTES}
        assert sum(sizes) + len(downsampler.flush()) == 9000 * FRAME_BYTES
