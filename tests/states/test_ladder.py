"""The ladder, row by row: what is tried after each kind of loss, how soon, and when nothing is left to try."""

import pytest
from call_machine import HANDLE, change, connecting, feed, lost, openings, ready, reconnecting, streaming

from callbot.effects import DropBacklog, OpenSession
from callbot.messages import Decision, HandleRenewed, Plan, TurnAudible, TurnStarted
from callbot.states import CallMachine, Limits, Session, State


def open_call(limits: Limits | None = None, *, talked: bool = True, handle: bool = True) -> CallMachine:
    return change(streaming(limits or Limits(), handle=handle), talked=talked)


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
    effects = open_call().handle(lost(1, decision))
    expected = OpenSession(session_no=2, plan=plan, model_index=0, first_turn=1, after_s=after_s, handle=handle)
    assert [effect for effect in effects if isinstance(effect, OpenSession | DropBacklog)] == (
        [DropBacklog(), expected] if drops_backlog else [expected]
    )


def test_giving_up_on_the_only_model_ends_the_call() -> None:
    machine = open_call()
    assert openings(machine.handle(lost(1, Decision.GIVE_UP))) == []
    assert machine.state is State.DRAINING


def test_giving_up_on_one_model_tries_the_next_afresh() -> None:
    machine = open_call(Limits(models=3))
    (second,) = openings(machine.handle(lost(1, Decision.GIVE_UP)))
    assert (second.model_index, second.plan, second.handle, second.after_s) == (1, Plan.HISTORY, None, 0.0)
    (third,) = openings(machine.handle(lost(2, Decision.GIVE_UP)))
    assert (third.model_index, third.after_s) == (2, 0.25)
    assert openings(machine.handle(lost(3, Decision.GIVE_UP))) == []
    assert machine.state is State.DRAINING


def test_without_a_handle_and_without_a_word_a_new_session_is_just_new() -> None:
    (opening,) = openings(open_call(talked=False, handle=False).handle(lost(1)))
    assert (opening.plan, opening.handle) == (Plan.NEW, None)


def test_without_a_handle_the_conversation_is_told() -> None:
    (opening,) = openings(open_call(handle=False).handle(lost(1)))
    assert (opening.plan, opening.handle) == (Plan.HISTORY, None)


def test_a_handle_that_fails_twice_before_setup_is_taken_for_refused() -> None:
    machine = open_call()
    (first,) = openings(machine.handle(lost(1)))
    (again,) = openings(machine.handle(lost(2)))
    (fresh,) = openings(machine.handle(lost(3)))
    assert [(opening.plan, opening.after_s) for opening in (first, again, fresh)] == [
        (Plan.RESUME, 0.0),
        (Plan.RESUME, 0.25),
        (Plan.HISTORY, 0.5),
    ]
    assert machine.record.handle is None


def test_a_handle_is_kept_while_the_service_only_asks_to_wait() -> None:
    machine = open_call()
    plans = [openings(machine.handle(lost(session_no, Decision.WAIT)))[0].plan for session_no in range(1, 7)]
    assert plans == [Plan.RESUME] * 6


def test_the_backoff_doubles_up_to_its_limit() -> None:
    machine = open_call()
    delays = [openings(machine.handle(lost(session_no)))[0].after_s for session_no in range(1, 9)]
    assert delays == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_asked_to_wait_the_backoff_begins_with_the_first_try() -> None:
    machine = open_call()
    delays = [openings(machine.handle(lost(session_no, Decision.WAIT)))[0].after_s for session_no in range(1, 7)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


def test_the_services_own_retry_after_is_honoured_when_it_is_longer() -> None:
    machine = open_call()
    assert openings(machine.handle(lost(1, Decision.WAIT, retry_after_s=7.0)))[0].after_s == 7.0
    assert openings(machine.handle(lost(2, Decision.WAIT, retry_after_s=0.1)))[0].after_s == 0.5


def test_the_tries_have_an_end() -> None:
    machine = open_call(Limits(max_tries=3))
    for session_no in (1, 2, 3):
        assert openings(machine.handle(lost(session_no))) != []
    assert openings(machine.handle(lost(4))) == []
    assert machine.state is State.DRAINING
    assert machine.record.outcome == "model_unreachable"


def test_three_failed_openings_pass_on_to_the_next_model() -> None:
    machine = open_call(Limits(models=2))
    indexes = [openings(machine.handle(lost(session_no, Decision.WAIT)))[0].model_index for session_no in range(1, 9)]
    assert indexes == [0, 0, 0, 1, 1, 1, 1, 1]


def test_with_one_model_it_is_tried_to_the_end() -> None:
    machine = open_call()
    indexes = {openings(machine.handle(lost(session_no, Decision.WAIT)))[0].model_index for session_no in range(1, 12)}
    assert indexes == {0}


def test_a_first_session_that_is_overloaded_passes_on_to_the_next_model_as_new() -> None:
    machine = connecting(Limits(models=2))
    found = [openings(machine.handle(lost(session_no, Decision.WAIT)))[0] for session_no in (1, 2, 3)]
    assert [(opening.plan, opening.model_index) for opening in found] == [(Plan.NEW, 0), (Plan.NEW, 0), (Plan.NEW, 1)]


def test_audio_that_is_refused_twice_costs_the_handle_too() -> None:
    machine = open_call()
    (first,) = openings(machine.handle(lost(1, Decision.RESUME_WITHOUT_REPLAY)))
    machine.handle(ready(2))
    effects = machine.handle(lost(2, Decision.RESUME_WITHOUT_REPLAY))
    (second,) = openings(effects)
    assert (first.plan, second.plan) == (Plan.RESUME, Plan.HISTORY)
    assert DropBacklog() in effects


def test_a_session_that_opened_but_died_does_not_count_against_the_handle() -> None:
    machine = reconnecting()
    for session_no in (2, 3, 4):
        machine.handle(ready(session_no))
        (opening,) = openings(machine.handle(lost(session_no)))
        assert opening.plan is Plan.RESUME
        assert machine.record.opening_failures == 0


def test_a_sign_of_life_begins_the_count_anew() -> None:
    machine = open_call(Limits(max_tries=2))
    for session_no in range(1, 9):
        assert openings(machine.handle(lost(session_no))) != []
        feed(machine, ready(session_no + 1), TurnStarted(session_no, 1.0), TurnAudible(session_no, 1.0))
    assert machine.record.tries == 0


@pytest.mark.parametrize(("at_s", "tries"), [(11.0, 1), (15.9, 1), (16.0, 0), (500.0, 0)])
def test_a_new_handle_is_a_sign_of_life_in_a_session_that_has_lived_five_seconds(at_s: float, tries: int) -> None:
    machine = open_call()
    machine.handle(lost(1))
    assert machine.record.tries == 1
    feed(machine, ready(2, at_s=11.0), HandleRenewed(2, "second", at_s))
    assert (machine.record.tries, machine.record.handle) == (tries, "second")


def test_a_first_session_that_has_lived_five_seconds_is_no_part_of_the_failures_before_it() -> None:
    machine = connecting()
    feed(machine, lost(1, Decision.WAIT), ready(2, Plan.NEW, at_s=3.0), HandleRenewed(2, "first", 7.9))
    assert machine.record.tries == 1
    machine.handle(HandleRenewed(2, "second", 8.0))
    assert machine.record.tries == 0


def test_a_service_that_hands_out_a_handle_at_set_up_and_closes_is_given_up() -> None:
    """It was once reopened for ever, without a pause: every handle began the count anew."""
    machine = open_call()
    delays = []
    for session_no in range(1, 13):
        (opening,) = openings(machine.handle(lost(session_no)))
        delays.append(opening.after_s)
        feed(
            machine,
            ready(session_no + 1, at_s=11.0 * session_no),
            HandleRenewed(session_no + 1, f"h{session_no}", 11.0 * session_no + 0.1),
        )
    assert delays == [0.0, 0.25, 0.5, 1.0, 2.0, *[4.0] * 7]
    assert openings(machine.handle(lost(13))) == []
    assert (machine.state, machine.record.outcome) == (State.DRAINING, "model_unreachable")


def test_a_service_that_hands_out_a_handle_after_each_refusal_of_audio_loses_it() -> None:
    machine = open_call()
    feed(machine, lost(1, Decision.RESUME_WITHOUT_REPLAY), ready(2), HandleRenewed(2, "second", 11.1))
    (opening,) = openings(machine.handle(lost(2, Decision.RESUME_WITHOUT_REPLAY)))
    assert (opening.plan, opening.handle) == (Plan.HISTORY, None)


def test_each_session_counts_its_turns_on_from_the_last() -> None:
    machine = open_call()
    machine.handle(TurnStarted(5, 1.0))
    (opening,) = openings(machine.handle(lost(1)))
    assert opening.first_turn == 6


def test_a_lost_session_is_gone_before_the_next_is_opened() -> None:
    machine = open_call()
    machine.handle(lost(1))
    assert (machine.record.session, machine.record.session_no) == (Session.OPENING, 2)


def test_a_decision_that_the_ladder_has_no_rung_for_keeps_the_plan() -> None:
    (opening,) = openings(open_call().handle(lost(1, "unheard_of")))  # type: ignore[arg-type]
    assert (opening.plan, opening.handle) == (Plan.RESUME, HANDLE)
