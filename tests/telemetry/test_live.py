import io
from typing import Any

import pytest
from call_log import call_events
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callbot.telemetry.live import LiveCall


def shown(events: list[dict[str, Any]]) -> list[str]:
    output = io.StringIO()
    with LiveCall(Console(file=output, width=100)) as live:
        for event in events:
            live.feed(event)
    return output.getvalue().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "   0.00 s  connecting    the caller is connected (+1415•••0123)",
        "   0.41 s  streaming     connecting -> streaming (ready)",
        "   0.84 s  streaming     the bot is heard (turn 1)",
        "   7.78 s  streaming     the bot is heard (turn 2), 830 ms after the caller's last word",
        "   9.76 s  streaming     the caller speaks over the bot (turn 2): 4.5 s of its answer dropped",
        "  16.00 s  streaming     the link to the model is lost (link_lost): resume it",
        "  21.46 s  closed        the call is over: completed (caller_hung_up)",
    ],
)
def test_each_event_worth_telling_is_one_aligned_line(line: str) -> None:
    assert line in shown(call_events())


def test_what_would_only_be_noise_is_not_shown() -> None:
    quiet = [event for event in call_events() if event["message"] in {"turn.started", "turn.speaking"}]

    assert quiet
    assert shown(quiet) == []


def test_no_colour_where_there_is_no_terminal() -> None:
    assert not any("\x1b" in line for line in shown(call_events()))


@given(
    st.dictionaries(
        st.sampled_from(["message", "t_ms", "state", "turn", "cause", "latency_ms", "heard_ms", "plan", "faults", "reason"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from([event["message"] for event in call_events()]),
    )
)
def test_no_event_can_break_it_or_steer_the_terminal(event: dict[str, Any]) -> None:
    assert not any("\x1b" in line for line in shown([event]))
