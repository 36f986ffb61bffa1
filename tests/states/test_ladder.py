"""The ladder, row by row: what is tried after each kind of loss, how soon, and when nothing is left to try."""

from dataclasses import replace

import pytest
from call_machine import HANDLE, Call, connecting, lost, moves, openings, ready, reconnecting, streaming

from callbot.effects import DropBacklog, OpenSession
from callbot.messages.call import CallerPaused, CallerSpoke, PlayoutEmpty, TurnPlayed, TurnSpeaking
from callbot.messages.session import GoAway, HandleRenewed, TurnAudible, TurnCompleted, TurnGenerated, TurnStarted
from callbot.messages.terms import Decision, Outcome, Plan, Refusal, RefusedPart
from callbot.states import State
from callbot.states.regions.outage import DIALS, DIALS_WITHIN_S

PATIENT = {"unreachable_s": 1000.0, "trouble_s": 1000.0}


def open_call(*, talked: bool = True, handle: bool = True, **how: object) -> Call:
    call = streaming(handle=handle, **{**PATIENT, **how})
    return call.change(conversation=replace(call.record.conversation, greeted=talked))


def lose(call: Call, session_no: int, decision: Decision = Decision.RESUME, **how: object) -> OpenSession | None:
    """Session `session_no` is lost; what is opened then, if anything."""
    at_s = call.record.now_s if session_no > 1 else 10.0
    found = openings(call.tell(lost(session_no, decision, at_s=at_s, **how)))  # type: ignore[arg-type]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("decision", "plan", "handle", "after_s", "drops_backlog"),
    [
        (Decision.RESUME, Plan.RESUME, HANDLE, 0.0, False),
        (Decision.RESUME_WITHOUT_REPLAY, Plan.RESUME, HANDLE, 0.0, True),
        (Decision.FRESH, Plan.HISTORY, None, 0.0, False),
        (Decision.WAIT, Plan.RESUME, HANDLE, 0.25, False),
    ],
)
def test_the_first_loss_of_an_open_session(
    decision: Decision, plan: Plan, handle: str | None, after_s: float, drops_backlog: bool
) -> None:
    effects = open_call().tell(lost(1, decision))
    expected = OpenSession(session_no=2, plan=plan, model_index=0, first_turn=1, after_s=after_s, handle=handle)
    assert [effect for effect in effects if isinstance(effect, OpenSession | DropBacklog)] == (
        [DropBacklog(), expected] if drops_backlog else [expected]
    )


def test_giving_up_on_the_only_model_ends_the_call() -> None:
    call = open_call()
    assert lose(call, 1, Decision.GIVE_UP) is None
    assert call.state is State.DRAINING


def test_giving_up_on_one_model_tries_the_next_afresh() -> None:
    call = open_call(models=3)
    second, third = lose(call, 1, Decision.GIVE_UP), lose(call, 2, Decision.GIVE_UP)
    assert second is not None
    assert third is not None
    assert (second.model_index, second.plan, second.handle, second.after_s) == (1, Plan.HISTORY, None, 0.0)
    assert (third.model_index, third.after_s) == (2, 0.25)
    assert lose(call, 3, Decision.GIVE_UP) is None


@pytest.mark.parametrize(("talked", "plan"), [(False, Plan.NEW), (True, Plan.HISTORY)])
def test_without_a_handle_the_conversation_is_told_if_there_was_one(talked: bool, plan: Plan) -> None:
    opening = lose(open_call(talked=talked, handle=False), 1)
    assert opening is not None
    assert (opening.plan, opening.handle) == (plan, None)


def test_a_handle_that_fails_twice_before_setup_is_taken_for_refused() -> None:
    call = open_call()
    found = [lose(call, session_no) for session_no in (1, 2, 3)]
    assert [(opening.plan, opening.after_s) for opening in found if opening] == [
        (Plan.RESUME, 0.0),
        (Plan.RESUME, 0.25),
        (Plan.HISTORY, 0.5),
    ]
    assert call.record.conversation.handle is None


def test_a_handle_is_kept_while_the_service_only_asks_to_wait() -> None:
    call = open_call()
    found = [lose(call, session_no, Decision.WAIT) for session_no in range(1, 7)]
    assert [opening and opening.plan for opening in found] == [Plan.RESUME] * 6


def test_the_backoff_doubles_up_to_its_limit() -> None:
    call = open_call()
    found = [lose(call, session_no) for session_no in range(1, 9)]
    assert [opening and opening.after_s for opening in found] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_asked_to_wait_the_backoff_begins_with_the_first_try() -> None:
    call = open_call()
    found = [lose(call, session_no, Decision.WAIT) for session_no in range(1, 7)]
    assert [opening and opening.after_s for opening in found] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_services_own_retry_after_is_honoured_when_it_is_longer() -> None:
    call = open_call()
    first = lose(call, 1, Decision.WAIT, retry_after_s=7.0)
    second = lose(call, 2, Decision.WAIT, retry_after_s=0.1)
    assert first is not None
    assert second is not None
    assert (first.after_s, second.after_s) == (7.0, 0.5)
    assert (first.least_s, second.least_s) == (7.0, 0.1), "what the jitter leaves"


def test_the_tries_have_an_end() -> None:
    call = open_call(max_tries=3)
    assert all(lose(call, session_no) for session_no in (1, 2, 3))
    assert lose(call, 4) is None
    assert call.record.conversation.outcome is Outcome.MODEL_UNREACHABLE


def test_three_failed_openings_pass_on_to_the_next_model() -> None:
    call = open_call(models=2)
    found = [lose(call, session_no, Decision.WAIT) for session_no in range(1, 9)]
    assert [opening and opening.model_index for opening in found] == [0, 0, 0, 1, 1, 1, 1, 1]


def test_a_first_session_that_is_overloaded_passes_on_to_the_next_model_as_new() -> None:
    call = connecting(models=2)
    found = [openings(call.tell(lost(number, Decision.WAIT, at_s=1.0)))[0] for number in (1, 2, 3)]
    assert [(opening.plan, opening.model_index) for opening in found] == [(Plan.NEW, 0), (Plan.NEW, 0), (Plan.NEW, 1)]


def test_audio_that_is_refused_twice_costs_the_handle_too() -> None:
    call = open_call()
    first = lose(call, 1, Decision.RESUME_WITHOUT_REPLAY)
    effects = call.tell(ready(2), lost(2, Decision.RESUME_WITHOUT_REPLAY, at_s=11.5))
    (second,) = openings(effects)
    assert (first and first.plan, second.plan) == (Plan.RESUME, Plan.HISTORY)
    assert DropBacklog() in effects


def test_a_session_that_opened_but_died_does_not_count_against_the_handle() -> None:
    call = reconnecting()
    for session_no in (2, 3, 4):
        call.tell(ready(session_no))
        opening = lose(call, session_no)
        assert opening is not None
        assert opening.plan is Plan.RESUME


# What gives the budget back.


def heard_turn(turn: int, at_s: float) -> tuple[object, ...]:
    return (
        TurnStarted(turn, at_s),
        TurnAudible(turn, at_s),
        TurnSpeaking(turn, at_s),
        TurnGenerated(turn, audible=True, at_s=at_s),
        TurnCompleted(turn, True, "", at_s),
        PlayoutEmpty(at_s + 1.0),
        TurnPlayed(turn, 1000, 1000, False, at_s + 1.0),
    )


def test_a_turn_that_was_completed_and_heard_begins_the_count_anew() -> None:
    call = open_call(max_tries=2)
    for session_no in range(1, 9):
        assert lose(call, session_no) is not None
        call.tell(ready(session_no + 1, at_s=call.record.now_s))
        call.tell(*heard_turn(session_no, call.record.now_s))  # type: ignore[arg-type]
        assert call.record.outage.tries == 0


def test_a_sound_alone_gives_nothing_back() -> None:
    """A session that said a second of its answer and closed was once opened again for ever, with the same beginning."""
    call = open_call()
    found = []
    for session_no in range(1, 9):
        at_s = 10.0 + session_no
        call.tell(TurnStarted(session_no, at_s), TurnAudible(session_no, at_s), TurnSpeaking(session_no, at_s))
        found.append(openings(call.tell(lost(session_no, at_s=at_s + 1.0))))
        if call.state is State.DRAINING:
            break
        call.tell(PlayoutEmpty(at_s + 1.0), ready(session_no + 1, at_s=at_s + 1.0))
    assert len([one for one in found if one]) == 2
    assert call.record.conversation.outcome is Outcome.MODEL_UNREACHABLE


def test_a_question_of_the_callers_makes_the_next_answer_another_beginning() -> None:
    call = open_call(stable_s=0.5)
    for session_no in range(1, 7):
        at_s = 10.0 * session_no
        call.tell(CallerSpoke(at_s), CallerPaused(at_s + 1.0, 900, at_s + 1.5))
        call.tell(
            TurnStarted(session_no, at_s + 2.0), TurnAudible(session_no, at_s + 2.0), TurnSpeaking(session_no, at_s + 2.0)
        )
        assert openings(call.tell(lost(session_no, at_s=at_s + 4.0)))
        call.tell(PlayoutEmpty(at_s + 4.0), ready(session_no + 1, at_s=at_s + 4.1))


@pytest.mark.parametrize(("lived_s", "tries"), [(4.9, 2), (5.0, 1), (500.0, 1)])
def test_a_session_that_has_lived_five_seconds_is_no_part_of_the_outage_before_it(lived_s: float, tries: int) -> None:
    call = open_call()
    call.tell(lost(1), ready(2), lost(2, at_s=11.0 + lived_s))
    assert call.record.outage.tries == tries


def test_a_service_that_hands_out_a_handle_at_set_up_and_closes_is_given_up() -> None:
    """It was once reopened for ever, without a pause: every handle began the count anew."""
    call = open_call()
    for session_no in range(1, 13):
        assert lose(call, session_no) is not None
        call.tell(
            ready(session_no + 1, at_s=call.record.now_s), HandleRenewed(session_no + 1, f"h{session_no}", call.record.now_s)
        )
    assert lose(call, 13) is None


def test_a_move_of_a_young_session_counts_like_a_loss() -> None:
    call = open_call()
    call.tell(lost(1), ready(2), GoAway(2, 0.0, 12.0), lost(2, cause="closed_by_us", at_s=12.1))
    assert call.record.outage.tries == 2
    call.tell(ready(3, at_s=13.0), GoAway(3, 0.0, 30.0), lost(3, cause="closed_by_us", at_s=30.1))
    assert call.record.outage.tries == 0


def test_dials_are_paced_whatever_they_are_for() -> None:
    """Sessions that say goAway as they open were once moved without a pause."""
    call = open_call(max_tries=10_000)
    dials = [0.0]
    for session_no in range(1, 40):
        now_s = max(dials[-1], 10.0) + 0.1
        effects = call.tell(lost(session_no, cause="closed_by_us", at_s=now_s))
        (opening,) = openings(effects)
        dials.append(now_s + max(opening.least_s, opening.after_s / 2))  # as soon as the jitter may make it
        call.tell(ready(session_no + 1, at_s=dials[-1]))
    for first, last in zip(dials, dials[DIALS:], strict=False):
        assert last - first >= DIALS_WITHIN_S


def test_trouble_has_an_end_whatever_is_tried() -> None:
    call = open_call(trouble_s=40.0, max_tries=10_000)
    call.tell(CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))
    session_no = 1
    while call.state is not State.DRAINING:
        at_s = 10.0 + 4.0 * session_no
        call.tell(lost(session_no, at_s=at_s))
        if call.state is State.RECONNECTING:
            call.tell(ready(session_no + 1, at_s=at_s + 0.5))
        session_no += 1
        assert at_s < 60.0
    assert call.record.conversation.outcome is Outcome.MODEL_UNREACHABLE


INVALID = Refusal(RefusedPart.SETUP, "", "request contains an invalid argument.")
QUOTA = Refusal(RefusedPart.QUOTA, "", "resource_exhausted: maximum concurrent se")


@pytest.mark.parametrize(("decision", "refusal"), [(Decision.FRESH, INVALID), (Decision.WAIT, QUOTA)])
def test_the_same_refusal_of_the_same_set_up_twice_is_final(decision: Decision, refusal: Refusal) -> None:
    """An unknown voice was once tried nine times, for twelve seconds."""
    call = connecting()
    assert openings(call.tell(lost(1, decision, "refused", at_s=0.5, refusal=refusal)))
    assert moves(call.tell(lost(2, decision, "refused", at_s=1.0, refusal=refusal))) == [("connecting", "draining", "refused")]


def test_a_refusal_of_another_set_up_is_not_yet_final() -> None:
    call = reconnecting(**PATIENT)
    assert call.record.plan is Plan.RESUME
    found = [lose(call, number, Decision.FRESH, refusal=INVALID) for number in (2, 3)]
    assert [opening and opening.plan for opening in found] == [Plan.NEW, Plan.NEW]
    assert lose(call, 4, Decision.FRESH, refusal=INVALID) is None


def test_what_was_named_is_left_out_of_the_next_set_up_and_of_all_that_follow() -> None:
    call = open_call(models=2)
    voice, thinking = (
        Refusal(part, name, "no") for part, name in ((RefusedPart.VOICE, "voice"), (RefusedPart.FIELD, "thinking"))
    )
    lose(call, 1)
    second = lose(call, 2, Decision.RESUME, refusal=voice)
    third = lose(call, 3, Decision.RESUME, refusal=thinking)
    call.tell(ready(4))
    fourth = lose(call, 4)
    assert [(opening.plan, opening.without) for opening in (second, third, fourth) if opening] == [
        (Plan.RESUME, {"voice"}),
        (Plan.RESUME, {"voice", "thinking"}),
        (Plan.RESUME, {"voice", "thinking"}),
    ]
    other_model = lose(call, 5, Decision.GIVE_UP)
    assert other_model is not None
    assert (other_model.model_index, other_model.without) == (1, frozenset())


def test_a_part_that_is_refused_though_it_was_left_out_is_final() -> None:
    call = open_call(handle=False)
    voice = Refusal(RefusedPart.VOICE, "voice", "no such voice")
    lose(call, 1)
    found = [lose(call, number, Decision.RESUME, refusal=voice) for number in (2, 3)]
    assert all(opening and opening.without == {"voice"} for opening in found)
    assert lose(call, 4, Decision.RESUME, refusal=voice) is None


def test_a_refusal_twice_passes_on_to_the_next_model() -> None:
    call = open_call(models=2, handle=False)
    lose(call, 1)
    lose(call, 2, Decision.FRESH, refusal=INVALID)
    opening = lose(call, 3, Decision.FRESH, refusal=INVALID)
    assert opening is not None
    assert opening.model_index == 1


def test_each_session_counts_its_turns_on_from_the_last() -> None:
    call = open_call()
    call.tell(TurnStarted(5, 1.0))
    opening = lose(call, 1)
    assert opening is not None
    assert opening.first_turn == 6
