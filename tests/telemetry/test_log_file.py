"""Logs in the forms in which people have them, and which of their calls are shown."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from call_log import CALL_SID, as_lines, call_events
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callbot.telemetry.log_file import LogFile, parse_line
from callbot.telemetry.logs_command import Wanted, follow_logs, show_logs
from callbot.telemetry.timeline import calls_of

Events = list[dict[str, Any]]
COMPACT = {"separators": (",", ":")}


def entries(events: Events) -> Events:
    """As Cloud Logging has them: time and severity taken out, newest first."""
    return [
        {
            "insertId": str(number),
            "jsonPayload": {key: value for key, value in event.items() if key not in {"time", "severity"}},
            "resource": {"type": "cloud_run_revision"},
            "severity": event["severity"],
            "timestamp": event["time"],
        }
        for number, event in reversed(list(enumerate(events)))
    ]


FORMS: dict[str, Callable[[Events], str]] = {
    "bare": as_lines,
    "gcloud logging read --format=json": lambda events: json.dumps(entries(events), indent=2) + "\n",
    "an array in one line": lambda events: json.dumps(entries(events)),
    "entries a line": lambda events: as_lines(entries(events)),
    "compose": lambda events: "".join(f"callbot-1  | {json.dumps(event)}\n" for event in events),
    "kubectl --prefix": lambda events: "".join(f"[pod/callbot-7d/callbot] {json.dumps(event)}\n" for event in events),
    "docker logs --timestamps": lambda events: "".join(f"2026-03-01T09:30:10.1Z {json.dumps(event)}\n" for event in events),
    "journalctl": lambda events: "".join(f"Mar 01 09:30:10 host callbot[12]: {json.dumps(event)}\n" for event in events),
    "journalctl -o json": lambda events: as_lines([{"MESSAGE": json.dumps(event), "_PID": "12"} for event in events]),
    "docker's json-file": lambda events: as_lines([{"log": json.dumps(event) + "\n", "stream": "stdout"} for event in events]),
    "newest first": lambda events: as_lines(events[::-1]),
    "compact": lambda events: "".join(json.dumps(event, **COMPACT) + "\n" for event in events),
    "CRLF": lambda events: as_lines(events).replace("\n", "\r\n"),
}


def told(content: bytes, tmp_path: Path, **wanted: Any) -> tuple[int, str]:
    path = tmp_path / "a.log"
    path.write_bytes(content)
    output = io.StringIO()
    code = show_logs(str(path), Wanted(**wanted), Console(file=output, width=80))
    return code, output.getvalue()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_tells_the_same_story(form: str, packed: bool, tmp_path: Path) -> None:
    text = FORMS[form](call_events()).encode()
    expected = told(as_lines(call_events()).encode(), tmp_path)

    assert told(gzip.compress(text) if packed else text, tmp_path) == expected
    assert expected[0] == 0
    assert "4 turns, 1 barge-in, link lost once, back after 0.3 s" in expected[1]


def test_lines_in_any_order_are_sorted(tmp_path: Path) -> None:
    events = [event | {"t_ms": number} for number, event in enumerate(call_events())]
    shuffled = events[:]
    random.Random(3).shuffle(shuffled)
    assert told(as_lines(shuffled).encode(), tmp_path) == told(as_lines(events).encode(), tmp_path)


def test_calls_are_listed_as_they_began_within_80_columns(tmp_path: Path) -> None:
    events = []
    for number, outcome in enumerate(("completed", "model_unreachable", "failed")):
        for event in call_events(f"CA{number}" + "0" * 31):
            more = {"outcome": outcome, "reason": "given_up_after_everything"} if event["message"] == "call.summary" else {}
            events.append(event | more | {"time": event["time"].replace("T09", f"T0{9 - number}")})
    code, said = told(as_lines(events).encode(), tmp_path)
    assert code == 0
    assert said.startswith("Calls of 2026-03-01 (UTC)\n")
    assert [said.index(f"CA{number}0000") for number in (2, 1, 0)] == sorted(
        said.index(f"CA{number}0000") for number in range(3)
    )
    assert max(map(len, said.splitlines())) <= 80


def call(number: int, outcome: str, began: str) -> Events:
    sid, stream = f"CA{number:032x}", f"MZ{number:032x}"
    base = {"call_sid": sid, "stream_sid": stream, "state": "streaming"}
    return [
        base | {"time": began, "message": "call.started", "t_ms": 0, "model": "m"},
        base | {"time": began, "message": "call.summary", "t_ms": 1000, "outcome": outcome, "reason": "r", "duration_ms": 1000},
    ]


MANY = [
    *call(1, "completed", "2026-11-27T08:00:00.000Z"),
    *call(2, "failed", "2026-11-27T09:00:00.000Z"),
    *call(3, "moved", "2026-11-27T09:30:00.000Z"),
    *call(4, "model_unreachable", "2026-11-27T10:00:00.000Z"),
]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({}, [1, 2, 3, 4]),
        ({"failed": True}, [2, 4]),
        ({"last": 1}, [4]),
        ({"since": "90m"}, [2, 3, 4]),
        ({"since": "1h", "failed": True}, [4]),
        ({"since": "2026-11-27T09:15"}, [3, 4]),
        ({"since": "2026-11-27T10:15+01:00"}, [3, 4]),
        ({"failed": True, "last": 1}, [4]),
        ({"since": "1s"}, []),
    ],
)
def test_options_choose_calls(options: dict[str, Any], numbers: list[int]) -> None:
    now = datetime(2026, 11, 27, 10, 15, tzinfo=UTC)
    wanted = Wanted.of(**{"call": None, "since": None, "failed": False, "last": None, "now": now} | options)
    assert [int(each.call_sid[-1]) for each in wanted.of_calls(calls_of(MANY))] == numbers


@pytest.mark.parametrize(("since", "last"), [("soon", None), ("5 weeks", None), (None, 0), (None, -1)])
def test_options_that_make_no_sense_are_a_sentence(since: str | None, last: int | None) -> None:
    with pytest.raises(ValueError, match=r"--(since|last) takes "):
        Wanted.of(call=None, since=since, failed=False, last=last)


def test_words_are_told_where_the_log_has_them(tmp_path: Path) -> None:
    spoken = [
        call_events()[9] | {"message": "transcript", "t_ms": 7000, "role": "caller", "text": "Where is my order? " * 20},
        call_events()[9] | {"message": "transcript", "t_ms": 9000, "role": "bot", "text": "On its way."},
    ]
    code, said = told(as_lines(call_events() + spoken).encode(), tmp_path)
    words = said[said.index("Words") : said.index("Model sessions")]
    assert code == 0
    assert "On its way." in words
    assert " ".join(words.split()).count("Where is my order?") == 20


def test_a_lost_session_is_told_with_its_detail_and_remedy(tmp_path: Path) -> None:
    why = {"code": 429, "cause": "http_429", "detail": "You exceeded your current quota", "remedy": "raise the quota"}
    events = [event | (why if event["message"] == "session.lost" else {}) for event in call_events()]
    _, said = told(as_lines(events).encode(), tmp_path)
    assert "\n  session 1: http_429, code 429: You exceeded your current quota\n" in said
    assert "\n    -> raise the quota " in said


def test_a_session_that_never_opened_is_no_lost_link_and_unheard_words_are_told(tmp_path: Path) -> None:
    start, opening = call_events()[:2]
    lost = opening | {"message": "session.lost", "t_ms": 400, "cause": "http_403", "decision": "give_up"}
    facts = {"outcome": "model_unreachable", "reason": "gave_up", "duration_ms": 4400, "frames_in": 220, "uplink_ms": 0}
    summary = start | {"message": "call.summary", "t_ms": 4400, "caller_dropped_ms": 0, **facts}
    _, said = told(as_lines([start, opening, lost, summary]).encode(), tmp_path)
    assert "no session opened (1 attempt)" in said
    assert "link lost" not in said
    assert "all but 4.4 s of the caller's audio" in " ".join(said.split())


def test_a_packed_file_that_is_cut_off_is_told_to_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = gzip.compress(as_lines(call_events()).encode(), compresslevel=0)
    code, said = told(packed[: len(packed) * 2 // 3], tmp_path)
    assert code == 0
    assert CALL_SID in said
    assert "is cut off or damaged; what was before it is shown" in capsys.readouterr().err


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_no_file_is_too_strange(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "strange.log"
    for text in (content, b"[" + content, b"[\n  {\n" + content, b"\x1f\x8b" + content):
        path.write_bytes(text)
        assert all(isinstance(event, dict) for event in LogFile(str(path)).events())
        assert show_logs(str(path), Wanted(), Console(file=io.StringIO(), width=80)) == 2


def test_a_line_may_have_a_brace_in_what_stands_before_it() -> None:
    assert parse_line(b'{"a": 1}') == {"a": 1}
    assert parse_line(b"no object") is None


def test_following_shows_what_comes_and_goes_on_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    first, second, third = call_events()[:1], call_events()[5:7], call_events("CA" + "f" * 32)[:1]
    path.write_text(as_lines(first))
    output = io.StringIO()
    steps: list[Callable[[], Any]] = [
        lambda: append(path, as_lines(second)[:50]),
        lambda: append(path, as_lines(second)[50:]),
        lambda: (path.rename(tmp_path / "a.log.1"), path.write_text(as_lines(third))),
    ]

    def sleep(_seconds: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    seen = []
    with pytest.raises(KeyboardInterrupt):
        seen += [event["message"] for event in iter_into(seen, LogFile(str(path)).follow(sleep))]
    assert [(event["message"], event["call_sid"][:3]) for event in seen] == [
        ("call.started", "CA0"),
        (second[0]["message"], "CA0"),
        (second[1]["message"], "CA0"),
        ("call.started", "CAf"),
    ]
    assert follow_logs(str(tmp_path / "none"), Wanted(), Console(file=output)) == 2


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def iter_into(seen: Events, events: Any) -> Any:
    for event in events:
        seen.append(event)
    return []


def test_follow_ends_with_an_interrupt_and_says_whose_line_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(as_lines(call_events()))
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "callbot", "logs", str(path), "--follow"],
        env=kept,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        said = process.stdout.readline()
        process.send_signal(2)
        process.stdout.read()
    assert said == f"{CALL_SID[-6:]}     0.00 s  connecting    the caller is connected (+1415•••0123)\n"
    assert process.returncode == 0


def test_a_large_log_takes_no_longer_for_each_line(tmp_path: Path) -> None:
    """Reading grows with the file: four times the lines in less than twelve times the processor's time."""

    def cost_s(calls: int) -> float:
        path = tmp_path / "large.log"
        path.write_text("".join(as_lines(call_events(f"CA{number:032x}")) for number in range(calls)))
        began_s = time.process_time()
        assert len(calls_of(LogFile(str(path)).events())) == calls
        return time.process_time() - began_s

    small = min(cost_s(100) for _ in range(3))
    assert cost_s(400) < 12 * small
