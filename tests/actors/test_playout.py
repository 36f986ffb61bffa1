"""The playout: how far ahead Twilio is filled, what was heard, and that nothing of an interrupted turn follows its clear."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from callbot.actors.playout import MARK_GRACE_S, Clear, FirstHeard, Mark, Media, Outgoing, Played, Playout, Wait

FRAME = 160


def audio(turn: int, ms: int) -> bytes:
    return bytes([turn]) * (ms * 8)


def playout(*, lead_ms: int = 400, mark_every_ms: int = 500, cap_s: float = 60.0) -> Playout:
    return Playout(lead_ms=lead_ms, mark_every_ms=mark_every_ms, cap_s=cap_s)


def send_all_due(line: Playout, now_s: float) -> list[Media | Mark | Clear]:
    """Everything that goes out at this moment."""
    sent: list[Media | Mark | Clear] = []
    while (outgoing := line.next(now_s)) is not None and not isinstance(outgoing, Wait):
        sent.append(outgoing)
    return sent


def run(line: Playout, now_s: float, until_s: float) -> list[tuple[float, Media | Mark | Clear]]:
    """Let the clock run: what goes out, and when."""
    sent: list[tuple[float, Media | Mark | Clear]] = []
    while now_s <= until_s:
        outgoing: Outgoing = line.next(now_s)
        if outgoing is None:
            break
        if isinstance(outgoing, Wait):
            if now_s + outgoing.delay_s > until_s:
                break
            now_s += max(outgoing.delay_s, 0.001)
        else:
            sent.append((now_s, outgoing))
    return sent


def ms_of(sent: list[Media | Mark | Clear]) -> int:
    return sum(len(outgoing.mulaw) // 8 for outgoing in sent if isinstance(outgoing, Media))


def marks_of(sent: list[Media | Mark | Clear]) -> list[str]:
    marks = [
        outgoing.mark if isinstance(outgoing, Media) else outgoing.name for outgoing in sent if not isinstance(outgoing, Clear)
    ]
    return [mark for mark in marks if mark is not None]


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


# Clearing.


def test_a_clear_goes_out_before_anything_else_and_nothing_of_the_turn_follows() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    send_all_due(line, 0.0)
    line.enqueue(2, audio(2, 60))
    line.clear(1, 0.1)
    line.enqueue(1, audio(1, 100))  # late
    sent = send_all_due(line, 0.1)
    assert isinstance(sent[0], Clear)
    assert [(media.turn, media.mulaw) for media in sent[1:] if isinstance(media, Media)] == [(2, audio(2, 60))]


def test_a_clear_with_six_seconds_queued_says_how_much_was_heard() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    sent = [media for _, media in run(line, 0.0, 2.0) if isinstance(media, Media)]
    assert sum(len(media.mulaw) for media in sent) <= 2.4 * 8000
    (played,) = line.clear(1, 2.0)
    assert (played.turn, played.audio_ms, played.cleared) == (1, 6000, True)
    assert abs(played.heard_ms - 2000) <= 60
    assert line.unheard_ms(2.0) == 0


def test_a_clear_after_everything_was_sent_but_not_heard_is_due() -> None:
    line = playout(lead_ms=5000)
    line.enqueue(1, audio(1, 3000))
    line.end_turn(1)
    send_all_due(line, 0.0)
    (played,) = line.clear(1, 1.0)
    assert played == Played(1, 3000, 1000, cleared=True)
    assert send_all_due(line, 1.0) == [Clear()]


def test_a_clear_when_everything_was_heard_is_not_sent() -> None:
    line = playout()
    line.enqueue(1, audio(1, 100))
    line.end_turn(1)
    for mark in marks_of(send_all_due(line, 0.0)):
        line.mark_returned(mark)
    assert line.clear(1, 5.0) == []
    assert send_all_due(line, 5.0) == []


def test_a_clear_while_a_mark_is_still_out_is_due_although_the_clock_says_all_was_heard() -> None:
    line = playout()
    line.enqueue(1, audio(1, 100))
    line.end_turn(1)
    send_all_due(line, 0.0)
    line.clear(1, 5.0)
    assert send_all_due(line, 5.0) == [Clear()]


def test_marks_that_a_clear_brought_back_say_nothing() -> None:
    line = playout()
    line.enqueue(1, audio(1, 200))
    line.end_turn(1)
    marks = marks_of(send_all_due(line, 0.0))
    line.clear(1, 0.01)
    assert not line.unheard
    assert [line.mark_returned(mark) for mark in marks] == [[], []]


def test_what_marks_have_told_is_believed_over_the_clock() -> None:
    line = playout(lead_ms=5000, mark_every_ms=100)
    line.enqueue(1, audio(1, 1000))
    for mark in marks_of(send_all_due(line, 0.0))[:5]:
        line.mark_returned(mark)
    (played,) = line.clear(1, 0.1)
    assert played.heard_ms == 500


def test_late_frames_of_a_dropped_turn_are_refused_for_ever() -> None:
    line = playout()
    line.clear(3, 0.0)
    assert [line.enqueue(turn, audio(turn, 20)) for turn in (1, 2, 3, 4)] == [False, False, False, True]
    line.clear(1, 0.0)
    assert not line.enqueue(3, audio(3, 20))


def test_the_next_turn_is_complete_from_its_first_sample_after_a_clear() -> None:
    line = playout(lead_ms=400)
    line.enqueue(1, audio(1, 6000))
    send_all_due(line, 0.0)
    line.clear(1, 0.2)
    line.enqueue(2, b"".join(bytes([number]) * FRAME for number in range(40)))
    line.end_turn(2)
    media = [outgoing for _, outgoing in run(line, 0.2, 60.0) if isinstance(outgoing, Media)]
    assert b"".join(piece.mulaw for piece in media) == b"".join(bytes([number]) * FRAME for number in range(40))
    assert media[0].first_of_turn
    assert media[0].mark is not None


def test_the_end_mark_of_a_cleared_turn_is_not_sent() -> None:
    line = playout()
    line.enqueue(1, audio(1, 20))
    line.end_turn(1)
    assert isinstance(line.next(0.0), Media)
    line.clear(1, 0.0)
    assert send_all_due(line, 0.0) == [Clear()]


def test_a_turn_that_was_cleared_before_a_frame_of_it_went_out_was_not_heard() -> None:
    line = playout()
    line.enqueue(1, audio(1, 500))
    assert line.clear(1, 0.0) == [Played(1, 500, 0, cleared=True)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("audio"), st.integers(1, 30)),
            st.tuples(st.just("end"), st.just(0)),
            st.tuples(st.just("clear"), st.just(0)),
            st.tuples(st.just("late"), st.integers(1, 5)),
            st.tuples(st.just("time"), st.integers(1, 900)),
        ),
        max_size=60,
    )
)
def test_after_each_clear_only_newer_turns_are_heard(work: list[tuple[str, int]]) -> None:
    line = playout(lead_ms=400)
    now_s, turn, dropped = 0.0, 1, 0
    log: list[Media | Mark | Clear] = []
    for what, size in work:
        if what == "audio":
            line.enqueue(turn, audio(turn % 256, size * 20))
        elif what == "end":
            line.end_turn(turn)
            turn += 1
        elif what == "late":
            assert dropped == 0 or not line.enqueue(dropped, audio(1, size * 20))
        elif what == "clear":
            line.clear(turn, now_s)
            dropped = turn
            turn += 1
        else:
            for at_s, outgoing in run(line, now_s, now_s + size / 1000):
                del at_s
                log.append(outgoing)
                if isinstance(outgoing, Media):
                    assert outgoing.turn > dropped
            now_s += size / 1000
        assert line.unheard_ms(now_s) >= 0
    turns = [media.turn for media in log if isinstance(media, Media)]
    assert turns == sorted(turns)


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
