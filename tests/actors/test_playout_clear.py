"""Clearing the playout: nothing of an interrupted turn follows, and what was heard is known."""

from hypothesis import given
from hypothesis import strategies as st
from playout_line import FRAME, audio, marks_of, playout, run, send_all_due

from callbot.actors.playout import Clear, Mark, Media, Played


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
