import io
import sys
from pathlib import Path
from typing import Any

import pytest
from call_log import CALL_SID, as_lines, call_events
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callbot.telemetry.logs_command import Wanted, show_logs

STORY = """\
Call CA0123456789abcdef0123456789abcdef
  2026-03-01 09:30:10 UTC, from +1415•••0123, to gemini-3.8-live (gemini)
  21.5 s, completed (caller_hung_up)

States
  state           from     for                         left because
  connecting     0.0 s   0.4 s  ▌                      ready
  streaming      0.4 s  15.6 s  ████████████████████▍  link_lost
  reconnecting  16.0 s   0.3 s  ▌                      ready
  streaming     16.3 s   5.1 s  ██████▋                caller_hung_up
  draining      21.4 s   60 ms  ▏                      drained

Turns
  turn      at  answer after  spoken  heard
     1   0.8 s             -   2.8 s  2.8 s
     2   7.8 s        830 ms   6.4 s  1.9 s  the caller cut in
     3  11.8 s        880 ms   3.1 s  3.1 s
     4  17.6 s       1600 ms   3.0 s  3.0 s

Model sessions
  session  plan        at  set up in   ended  lost because
        1  new      0.0 s     411 ms  16.0 s  link_lost: resume
        2  resume  16.0 s     338 ms       -

Faults
  fault       times
  late_media      3

Summary
  4 turns, 1 barge-in, link lost once, back after 0.3 s, answers after 880 ms
  (median), 1600 ms at most
  caller spoke 4.8 s, heard 10.9 s of the bot; the model was sent all of the
  caller's audio
  tokens: 900 in, 434 out
"""


def told(log: str | bytes, tmp_path: Path, call: str | None = None) -> tuple[int, str]:
    """The exit code, and what is printed where there is no terminal; without spaces at the ends of lines."""
    path = tmp_path / "call.jsonl"
    path.write_bytes(log if isinstance(log, bytes) else log.encode())
    output = io.StringIO()
    code = show_logs(str(path), Wanted(call=call or ""), Console(file=output, width=80))
    return code, "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def event(message: str, **fields: Any) -> dict[str, Any]:
    return {"message": message, "call_sid": "CA1", "stream_sid": "MZ1", "t_ms": 5, "state": "streaming", **fields}


def test_the_story_of_a_call_is_told(tmp_path: Path) -> None:
    assert told(as_lines(call_events()), tmp_path) == (0, STORY)


def test_lines_of_others_are_passed_over_and_broken_ones_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = as_lines(call_events()).splitlines(keepends=True)
    noise = [
        '{"message": "server.started", "port": 8080}\n',
        "Traceback (most recent call last):\n",
        "[1, 2]\n",
        "\n",
        "\xff{\n",
    ]

    assert told("".join([*lines[:5], *noise, *lines[5:]]), tmp_path) == (0, STORY)
    assert capsys.readouterr().err == "callbot: 3 lines are no JSON object and left out.\n"


def test_a_log_that_stops_in_mid_call_is_told_to_there(tmp_path: Path) -> None:
    code, story = told(as_lines(call_events()[:8]), tmp_path)

    assert code == 0
    assert "no end in this log" in story
    assert "1 turn, 0 barge-ins, link never lost" in story


def test_several_calls_are_listed_first(tmp_path: Path) -> None:
    code, listed = told(as_lines(call_events() + call_events("CAff" + "0" * 30)), tmp_path)

    assert code == 0
    assert "CA0123456789" in listed
    assert "CAff00000000" in listed
    assert "2 calls; for the story of one of them add --call CA0123456789" in listed


def test_one_call_is_chosen_by_the_beginning_of_its_sid(tmp_path: Path) -> None:
    log = as_lines(call_events() + call_events("CAff" + "0" * 30))

    assert told(log, tmp_path, CALL_SID[:6]) == (0, STORY)


@pytest.mark.parametrize(
    ("log", "call", "sentence"),
    [
        (
            as_lines(call_events()),
            "CAnone",
            "no call in {path} has a CallSid that begins with CAnone; without --call all are listed.",
        ),
        ('{"message": "server.started"}\n', None, "there is no call in {path}; it takes the JSON log of"),
        ("", None, "there is no call in {path}"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    log: str, call: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(log, tmp_path, call) == (2, "")
    assert capsys.readouterr().err.startswith("callbot: " + sentence.format(path=tmp_path / "call.jsonl"))


@pytest.mark.parametrize(("name", "why"), [("missing.jsonl", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_said_so(name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name

    assert show_logs(str(path), Wanted(), Console(file=io.StringIO())) == 2
    assert capsys.readouterr().err == f"callbot: {path} cannot be read ({why}).\n"


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(as_lines(call_events()).encode()))))
    output = io.StringIO()

    assert show_logs("-", Wanted(), Console(file=output, width=80)) == 0
    assert output.getvalue().startswith(f"Call {CALL_SID}")


def test_no_colour_where_there_is_no_terminal_and_colour_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(as_lines(call_events()))
    plain, coloured = io.StringIO(), io.StringIO()

    show_logs(str(path), Wanted(), Console(file=plain))
    show_logs(str(path), Wanted(), Console(file=coloured, force_terminal=True, color_system="standard"))

    assert "\x1b" not in plain.getvalue()
    assert "\x1b[" in coloured.getvalue()


EVIL = "[/x][bold]\x1b[31mevil\x1b]0;title\x07\n"


@pytest.mark.parametrize(
    "line",
    [
        event("call.started", caller=EVIL, model=EVIL, time=EVIL),
        event("call.state", **{"from": EVIL, "to": EVIL}, reason=EVIL),
        event("session.opening", session_no=1, plan=EVIL),
        event("session.lost", session_no=1, cause=EVIL, decision=EVIL),
        event("stream.fault", fault=EVIL),
        event("child.crashed", child=EVIL, error=EVIL),
        event("call.summary", outcome=EVIL, reason=EVIL, faults={EVIL: 2}),
        event("turn.heard", turn=1) | {"call_sid": "CA" + EVIL},
    ],
    ids=lambda line: str(line["message"]),
)
def test_no_text_of_a_log_is_markup_or_steers_the_terminal(line: dict[str, Any], tmp_path: Path) -> None:
    code, story = told(as_lines([line]), tmp_path)

    assert code == 0
    assert "\x1b" not in story
    assert "\x07" not in story


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({name for line in call_events() for name in line} - {"message", "call_sid", "stream_sid"})


@given(
    st.lists(
        st.builds(
            lambda line, name, value: line | {name: value}, st.sampled_from(call_events()), st.sampled_from(FIELDS), anything
        ),
        max_size=8,
    )
)
def test_fields_of_any_type_are_told_as_far_as_they_make_sense(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]]
) -> None:
    code, story = told(as_lines(events), tmp_path_factory.getbasetemp())

    assert code == (0 if story else 2)
