"""What `bench.hostile` says of the server and of its calls: a call that has lost its session has not lived through the run."""

import pytest

from bench.hostile_report import Evening, report_server
from callbot.states.record import State

OURS, ANOTHERS = "CA" + "1" * 32, "CA" + "2" * 32


def move(call_sid: str, to: State) -> dict[str, object]:
    return {"message": "call.state", "call_sid": call_sid, "to": to.value, "reason": "link_lost"}


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ([], True),
        ([move(OURS, State.STREAMING), move(ANOTHERS, State.RECONNECTING)], True),
        ([move(OURS, State.RECONNECTING)], False),
        ([{"message": "actor.crashed"}], False),
        ([{"message": "stream.refused", "reason": "flood", "unlogged": 3}], True),
    ],
)
def test_a_lost_session_or_a_crash_is_no_good_run(said: list[dict[str, object]], well: bool) -> None:
    evening = Evening(call_sids=[OURS], said=said, rss_mb=[[100.0, 101.0]])
    assert report_server(evening) is well
    evening.lost_ms["up"] = 20
    assert not report_server(evening)
