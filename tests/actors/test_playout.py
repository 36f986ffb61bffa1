"""The playout: how far ahead Twilio is filled, what its marks tell, and when it runs empty."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from playout_line import FRAME, audio, marks_of, ms_of, playout, run, send_all_due

from callbot.actors.playout import MARK_GRACE_S, Clear, FirstHeard, Mark, Media, Played, Wait

# Pacing.


def test_twilio_is_filled_up_to_the_lead_and_no_further() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    assert ms_of(send_all_due(line, 0.0)) == 400
    assert ms_of(send_all_due(line, 0.0)) == 0


def test_the_lead_is_never_exceeded_and_never_used_up_while_audio_waits() -> None:
    """A rounding error of the clock once counted as room for a frame, and the lead grew by 20 ms."""
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    ends_s = 0.0
    for now_s, outgoing in run(line, 0.0, 5.0):
        if isinstance(outgoing, Media):
            assert ends_s == 0.0 or ends_s > now_s, "the caller heard a hole"
            ends_s = max(ends_s, now_s) + len(outgoing.mulaw) / 8000
            assert ends_s - now_s <= 0.4 + 1e-9
    assert ends_s > 5.0


def test_refills_come_a_few_frames_at_a_time() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    send_all_due(line, 0.0)
    wait = line.next(0.0)
    assert isinstance(wait, Wait)
    assert round(wait.delay_s, 6) == 0.06
    assert ms_of(send_all_due(line, 0.06)) == 60


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(2, 50))
def test_all_that_goes_in_comes_out_in_order_in_whole_frames_of_at_most_100_ms(chunks: list[int], lead_frames: int) -> None:
    line = playout(lead_ms=lead_frames * 20)
    numbers = itertools.count()
    queued = b""
    for frames in chunks:
        chunk = b"".join((next(numbers) % 256).to_bytes(1, "big") * FRAME for _ in range(frames))
        assert line.enqueue(1, chunk)
        queued += chunk
    media = [outgoing for _, outgoing in run(line, 0.0, 100.0) if isinstance(outgoing, Media)]
    assert b"".join(piece.mulaw for piece in media) == queued
    assert all(len(piece.mulaw) % FRAME == 0 and 0 < len(piece.mulaw) <= 5 * FRAME for piece in media)


def test_frames_of_two_turns_never_share_a_message() -> None:
    line = playout()
    line.enqueue(1, audio(1, 20))
    line.enqueue(2, audio(2, 20))
    assert [(media.turn, media.mulaw) for media in send_all_due(line, 0.0) if isinstance(media, Media)] == [
        (1, audio(1, 20)),
        (2, audio(2, 20)),
    ]


def test_what_does_not_fit_is_refused_and_counted() -> None:
    line = playout(cap_s=1.0)
    assert line.enqueue(1, audio(1, 1000))
    assert not line.enqueue(1, audio(1, 20))
    assert line.overflow_ms == 20


def test_a_stalled_clock_loses_no_audio() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 1000))
    first = ms_of(send_all_due(line, 0.0))
    later = ms_of(send_all_due(line, 30.0))
    assert (first, later) == (400, 400)


# Marks.


def test_the_first_frames_carry_a_mark_then_every_half_second_then_the_end() -> None:
    line = playout(lead_ms=5000, mark_every_ms=500)
    line.enqueue(1, audio(1, 1100))
    line.end_turn(1)
    marked_ms = []
    ms = 0
    sent = send_all_due(line, 0.0)
    for outgoing in sent:
        if isinstance(outgoing, Media):
            ms += len(outgoing.mulaw) // 8
            if outgoing.mark:
                marked_ms.append(ms)
    assert marked_ms == [100, 600, 1100]
    assert isinstance(sent[-1], Mark)
    assert len(set(marks_of(sent))) == 4


def test_the_first_mark_back_says_that_the_turn_is_heard_and_since_when() -> None:
    line = playout()
    line.enqueue(1, audio(1, 200))
    first, *_ = marks_of(send_all_due(line, 0.0))
    assert line.mark_returned(first) == [FirstHeard(1, 0.1)]
    assert line.mark_returned(first) == []


def test_the_last_mark_back_says_that_the_turn_is_behind_us() -> None:
    line = playout()
    line.enqueue(1, audio(1, 200))
    line.end_turn(1)
    first, last = marks_of(send_all_due(line, 0.0))
    line.mark_returned(first)
    assert line.unheard
    assert line.mark_returned(last) == [Played(1, 200, 200, cleared=False)]
    assert line.empty


def test_a_turn_that_ends_after_all_was_sent_gets_its_last_mark_then() -> None:
    line = playout()
    line.enqueue(1, audio(1, 100))
    send_all_due(line, 0.0)
    assert line.end_turn(1) == []
    (mark,) = send_all_due(line, 0.05)
    assert isinstance(mark, Mark)
    assert line.end_turn(1) == []


def test_the_end_of_a_turn_comes_before_the_next_turns_frames() -> None:
    line = playout()
    line.enqueue(1, audio(1, 20))
    line.enqueue(2, audio(2, 20))
    line.end_turn(1)
    kinds = [(type(outgoing).__name__, getattr(outgoing, "turn", None)) for outgoing in send_all_due(line, 0.0)]
    assert kinds == [("Media", 1), ("Mark", None), ("Media", 2)]


def test_a_turn_without_a_frame_leaves_no_trace() -> None:
    line = playout()
    assert line.end_turn(4) == []
    assert line.empty


def test_a_mark_that_is_not_ours_tells_nothing() -> None:
    assert playout().mark_returned("t1-99") == []


def test_marks_that_never_return_are_given_up_after_a_while() -> None:
    line = playout()
    line.enqueue(1, audio(1, 100))
    line.end_turn(1)
    send_all_due(line, 0.0)
    wait = line.next(0.0)
    assert wait == Wait(0.1 + MARK_GRACE_S)
    assert line.give_up_marks(0.1 + MARK_GRACE_S - 0.01) == []
    assert line.give_up_marks(0.1 + MARK_GRACE_S) == [Played(1, 100, 0, cleared=False)]
    assert line.empty


def test_marks_are_not_given_up_while_audio_is_still_to_be_sent() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 1000))
    send_all_due(line, 0.0)
    assert line.give_up_marks(100.0) == []


# Empty and running again; the comfort sound.


def test_running_empty_is_told_once_and_what_comes_then_resumes() -> None:
    line = playout()
    assert not line.note_empty(0.0)
    line.enqueue(1, audio(1, 20))
    first = line.next(0.0)
    assert isinstance(first, Media)
    assert first.resumes
    assert not line.note_empty(0.02)
    assert first.mark is not None
    line.mark_returned(first.mark)
    assert line.note_empty(0.02)
    assert not line.note_empty(0.02)
    line.enqueue(1, audio(1, 20))
    second = line.next(5.0)
    assert isinstance(second, Media)
    assert (second.resumes, second.first_of_turn) == (True, False)


def test_audio_without_a_mark_behind_it_is_unheard_until_the_clock_says_otherwise() -> None:
    """It was once taken for heard as soon as it was sent: half a second of a goodbye was cut off."""
    line = playout(lead_ms=1000, mark_every_ms=500)
    line.enqueue(1, audio(1, 400))
    for mark in marks_of(send_all_due(line, 0.0)):
        line.mark_returned(mark)
    assert not line.unheard
    assert line.next(0.1) == Wait(0.4 - 0.1)
    assert not line.note_empty(0.39)
    assert line.note_empty(0.4)
    assert line.next(0.4) is None


def test_a_clear_empties_the_playout_once_it_has_been_sent() -> None:
    line = playout()
    line.enqueue(1, audio(1, 500))
    send_all_due(line, 0.0)
    line.clear(1, 0.0)
    assert not line.note_empty(0.0)
    assert line.next(0.0) == Clear()
    assert line.note_empty(0.0)


def test_a_comfort_sound_belongs_to_no_turn_and_goes_with_a_clear() -> None:
    line = playout()
    line.enqueue(0, audio(0, 320))
    sent = send_all_due(line, 0.0)
    assert ms_of(sent) == 320
    assert not any(media.first_of_turn for media in sent if isinstance(media, Media))
    assert line.unheard
    assert [told for mark in marks_of(sent) for told in line.mark_returned(mark)] == []
    assert line.empty
    line.enqueue(0, audio(0, 320))
    line.clear(7, 10.0)
    assert send_all_due(line, 10.0) == [Clear()]
    assert line.enqueue(0, audio(0, 320))
