"""Some hundred calls of the storm (`python -m bench.storm` makes ten thousand), and what its judges see and do not see."""

from dataclasses import replace
from random import Random

import pytest

from bench.storm import DIALS_WITHIN_S, MAX_DIALS, MAX_SAME_BEGINNINGS, Fate, Watch, describe, judge_model, storm
from bench.storm_line import Caller, Mood
from bench.storm_model import Beginning, HostileModel

CALLS = 120


def test_whatever_model_and_line_do_a_call_ends_in_order_and_within_its_bounds() -> None:
    fates = list(storm(range(1, CALLS + 1), seed=16))
    told = describe(fates, 0.0)
    print(told)
    assert len(fates) == CALLS
    assert [fate.breaches for fate in fates if fate.breaches] == [], told
    # The storm is one: what it is to find was there to be found.
    assert sum(fate.sessions > 3 for fate in fates) > CALLS / 20
    assert len({end for fate in fates for end in fate.ends}) > 10


def judged(**values: object) -> list[str]:
    fate, model = Fate(1, "", ""), HostileModel("1")
    for name, value in values.items():
        setattr(model, name, value)
    judge_model(fate, model)
    return fate.breaches


@pytest.mark.parametrize("dials", [MAX_DIALS, MAX_DIALS + 1])
def test_too_many_dials_are_seen(dials: int) -> None:
    within = [100.0 + number * 0.9 * DIALS_WITHIN_S / dials for number in range(dials)]
    assert bool(judged(dialled_s=within)) == (dials > MAX_DIALS)
    assert judged(dialled_s=[100.0 + number for number in range(100)]) == []


@pytest.mark.parametrize("times", [MAX_SAME_BEGINNINGS, MAX_SAME_BEGINNINGS + 1])
def test_a_beginning_that_is_said_too_often_is_seen(times: int) -> None:
    same = [Beginning(7, session, 100.0 + session) for session in range(times)]
    assert bool(judged(beginnings=same)) == (times > MAX_SAME_BEGINNINGS)
    assert judged(beginnings=[replace(one, question=one.session) for one in same]) == []
    assert judged(beginnings=[replace(one, complete=True) for one in same]) == []


def test_trouble_and_waiting_are_measured_and_forgotten() -> None:
    model, caller = HostileModel("1"), Caller(Mood(99.0), Random(1), 100.0)
    watch = Watch(model, caller)
    model.dialled_s = [100.0]
    for tenths in range(300):
        watch.look(100.0 + tenths / 10)
    assert watch.longest_s == pytest.approx(29.9)

    watch, model.beginnings = Watch(model, caller), [Beginning(0, 1, 103.0, complete=True)]
    for tenths in range(300):
        watch.look(100.0 + tenths / 10)
    assert watch.longest_s < 1.0

    watch, caller.questions = Watch(model, caller), 1
    for tenths in range(40, 200):
        watch.look(100.0 + tenths / 10)
    assert watch.longest_s == pytest.approx(15.9)
