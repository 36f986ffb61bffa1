"""Whole frames, whatever the pieces."""

from hypothesis import given
from hypothesis import strategies as st

from callbot.audio import FRAME_BYTES, SILENT_FRAME, FrameAssembler


@given(pieces=st.lists(st.binary(max_size=700), max_size=20))
def test_any_pieces_come_out_as_whole_frames_in_order_and_padded_with_silence(pieces: list[bytes]) -> None:
    assembler = FrameAssembler()
    out = [assembler.push(piece) for piece in pieces]
    held = assembler.held_bytes
    last = assembler.flush()
    stream = b"".join(pieces)
    assert all(len(frames) % FRAME_BYTES == 0 for frames in [*out, last])
    assert held == len(stream) % FRAME_BYTES
    assert b"".join(out) + last == stream + b"\xff" * (-len(stream) % FRAME_BYTES)


def test_a_whole_frame_leaves_at_once() -> None:
    assembler = FrameAssembler()
    frame = bytes(range(FRAME_BYTES))
    assert assembler.push(frame) == frame
    assert assembler.held_bytes == 0


def test_flushing_with_nothing_begun_gives_nothing() -> None:
    assembler = FrameAssembler()
    assert assembler.flush() == b""
    assembler.push(b"\x01")
    assert assembler.flush() == b"\x01" + SILENT_FRAME[1:]
    assert assembler.flush() == b""


def test_after_a_reset_nothing_of_the_old_turn_is_left() -> None:
    assembler = FrameAssembler()
    assembler.push(b"\x01" * 159)
    assembler.reset()
    assert assembler.held_bytes == 0
    assert assembler.push(b"\x02" * FRAME_BYTES) == b"\x02" * FRAME_BYTES


def test_a_buffer_that_the_sender_reuses_does_not_change_what_was_taken() -> None:
    assembler, buffer = FrameAssembler(), bytearray(b"\x01" * 100)
    assembler.push(bytes(buffer))
    buffer[:] = b"\x02" * 100
    assert assembler.flush().startswith(b"\x01" * 100 + b"\xff")
