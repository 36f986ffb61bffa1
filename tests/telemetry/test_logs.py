import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from callbot.telemetry import logs

CALL = {"call_sid": "CA" + "1" * 32, "stream_sid": "MZ" + "2" * 32, "state": "streaming", "t_ms": 1250}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, transitions = logging.getLogger(), logging.getLogger("transitions")
    handlers, level, quiet = root.handlers[:], root.level, transitions.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    transitions.setLevel(quiet)
    structlog.reset_defaults()


def configured(log_format: str = "json", level: str = "info") -> io.BytesIO:
    stream = io.BytesIO()
    logs.configure(log_format, level, stream=stream)
    return stream


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def written(**fields: Any) -> dict[str, Any]:
    stream = configured()
    structlog.get_logger().info("an.event", **fields)
    (line,) = lines(stream)
    return line


def test_a_line_of_a_call_has_cloud_loggings_fields_and_the_calls() -> None:
    stream = configured()

    structlog.get_logger().bind(**CALL).info("turn.heard", turn=2, latency_ms=830)

    (line,) = lines(stream)
    at = line.pop("time")
    assert line == {
        "severity": "INFO",
        "message": "turn.heard",
        "logging.googleapis.com/labels": {"call_sid": CALL["call_sid"]},
        **CALL,
        "turn": 2,
        "latency_ms": 830,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert datetime.fromisoformat(at).tzinfo is not None


@pytest.mark.parametrize(
    ("method", "severity"),
    [("debug", "DEBUG"), ("info", "INFO"), ("warning", "WARNING"), ("error", "ERROR"), ("critical", "CRITICAL")],
)
def test_levels_have_cloud_loggings_names(method: str, severity: str) -> None:
    stream = configured(level="debug")

    getattr(structlog.get_logger(), method)("an.event")

    assert lines(stream)[0]["severity"] == severity


def test_lines_below_the_level_are_not_written() -> None:
    stream = configured(level="warning")

    structlog.get_logger().info("an.event")
    logging.getLogger("some.library").info("words")

    assert stream.getvalue() == b""


def test_a_traceback_is_one_line_without_locals_where_error_reporting_looks() -> None:
    stream = configured()

    def fail() -> None:
        words_of_the_caller = "my account is " + "7" * 3
        raise ValueError(len(words_of_the_caller))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("call.crashed")

    (line,) = lines(stream)
    assert line["severity"] == "ERROR"
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("ValueError: 17")
    assert "777" not in line["stack_trace"]
    assert "exc_info" not in line


def test_an_error_that_was_caught_before_can_be_given() -> None:
    stream = configured()

    structlog.get_logger().error("child.crashed", exc_info=ExceptionGroup("two", [KeyError("a"), OSError("b")]))

    trace = lines(stream)[0]["stack_trace"]
    assert "KeyError: 'a'" in trace
    assert "OSError: b" in trace


def test_what_libraries_log_is_a_line_of_the_same_form() -> None:
    stream = configured()

    logging.getLogger("some.library").warning("%d sockets left", 3)
    logging.getLogger("some.library").error("%d", "no number")

    first, second = lines(stream)
    assert (first["severity"], first["logger"], first["said"]) == ("WARNING", "some.library", "3 sockets left")
    assert (second["severity"], second["said"]) == ("ERROR", "%d")


def test_the_machines_own_logger_is_quiet() -> None:
    stream = configured(level="debug")

    logging.getLogger("transitions.core").info("Entered state streaming")

    assert stream.getvalue() == b""


def test_a_field_cannot_take_the_place_of_one_of_ours() -> None:
    line = written(message="mine", severity="FATAL", time="never")

    assert line["message"] == "an.event"
    assert line["severity"] == "INFO"
    assert (line["message_"], line["severity_"], line["time_"]) == ("mine", "FATAL", "never")


@pytest.mark.parametrize(
    "name", ["token", "authToken", "api_key", "X-Twilio-Signature", "Authorization", "handle", "redis_password"]
)
def test_text_under_a_telling_name_is_hidden(name: str) -> None:
    line = written(**{name: "abcdef"}, nested={name: "abcdef"})

    assert line[name] == "[secret]"
    assert line["nested"] == {name: "[secret]"}


def test_counts_and_other_words_are_no_secrets() -> None:
    line = written(prompt_tokens=12, token_count=3, has_handle=True, keyboard="qwerty", key=None)

    assert {name: line[name] for name in ("prompt_tokens", "token_count", "has_handle", "keyboard", "key")} == {
        "prompt_tokens": 12,
        "token_count": 3,
        "has_handle": True,
        "keyboard": "qwerty",
        "key": None,
    }


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_registered_secrets_are_never_written_wherever_they_turn_up(log_format: str) -> None:
    secret = "planted/secret+value"
    logs.register_secrets([secret])
    stream = configured(log_format)
    log = structlog.get_logger()

    log.info(secret, where=f"before{secret}after", deep=[{"a": (secret,)}], url="wss://x?q=planted%2Fsecret%2Bvalue")
    log.info("field", **{f"name {secret}": 1})
    logging.getLogger("library").error("sent %s", secret)
    log.error("crashed", exc_info=RuntimeError(f"refused {secret}"))

    output = stream.getvalue().decode()
    assert output.count("\n") >= 4
    assert secret not in output
    assert "planted%2Fsecret" not in output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://[secret]@host:6379/0"),
        ("https://host/ws?key=abcdef&alt=json", "https://host/ws?key=[secret]&alt=json"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [secret]"),
        ("key AIza" + "b" * 35 + " is wrong", "key [secret] is wrong"),
        ("token ya29.a0AbCdEf-GhIj has expired", "token [secret] has expired"),
        ("https://host:8443/path", "https://host:8443/path"),
    ],
)
def test_credentials_are_known_by_their_form(text: str, shown: str) -> None:
    assert written(detail=text)["detail"] == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The number +14158675310 is not valid", "The number ***5310 is not valid"),
        ("+493012345678,+14155550123", "***5678,***0123"),
        ("+1234 of 5, 2026-11-22T00:00:00+00:00, 1+2", "+1234 of 5, 2026-11-22T00:00:00+00:00, 1+2"),
    ],
)
def test_whole_telephone_numbers_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    assert written(detail=text)["detail"] == shown


def test_nothing_steers_a_terminal_or_makes_a_second_line() -> None:
    assert written(detail="a\x1b[31mb\r\nc\u2028d\u202ee\x9b")["detail"] == "a [31mb  c d e "


def test_long_texts_and_long_lists_are_cut() -> None:
    line = written(detail="x" * 100_000, many=list(range(1000)))

    assert len(line["detail"]) < 2_100
    assert len(line["many"]) == 50


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.builds(object)
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(st.characters()), inner) | st.sets(st.integers()),
    max_leaves=10,
)


@given(event=st.text(st.characters()), fields=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values))
def test_whatever_is_logged_becomes_one_line_of_json(event: str, fields: dict[str, Any]) -> None:
    stream = configured()
    fields.pop("event", None)

    structlog.get_logger().info(event, **fields)

    assert len(lines(stream)) == 1
    assert stream.getvalue().count(b"\n") == 1


def test_values_nested_too_deep_are_cut_short() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]

    assert "[list]" in json.dumps(written(deep=deep))


class BrokenPipe(io.BytesIO):
    def write(self, line: Any) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_log_that_cannot_be_written_costs_its_lines_only() -> None:
    closed = io.BytesIO()
    closed.close()
    for stream in (BrokenPipe(), closed):
        logs.configure("json", "info", stream=stream)

        structlog.get_logger().info("an.event")
        logging.getLogger("some.library").warning("words")


def shown(*events: tuple[str, dict[str, Any]], level: str = "info") -> list[str]:
    stream = configured("console", level)
    for name, fields in events:
        structlog.get_logger().bind(**CALL).info(name, **fields)
    return stream.getvalue().decode().splitlines()


def test_the_console_format_is_the_demos_view_a_line_each_without_colour_when_it_goes_elsewhere() -> None:
    lines = shown(
        ("call.started", {"caller": "+1415•••0123", "stream_no": 1}),
        ("turn.started", {"turn": 2}),
        ("turn.heard", {"turn": 2, "latency_ms": 830}),
        ("call.progress", {"frames_in": 500}),
        ("session.lost", {"cause": "http_429", "decision": "wait", "detail": "quota exceeded"}),
        ("an.unknown_event", {"some": "field"}),
    )
    assert [line[10:] for line in lines] == [
        f"111111  streaming     the caller is connected (+1415•••0123), {CALL['call_sid']}",
        "111111  streaming     the bot is heard (turn 2), 830 ms after the caller's last word",
        "111111  streaming     the link to the model is lost (http_429): try again later [quota exceeded]",
        "111111  streaming     an.unknown_event  some=field",
    ]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d  ", line[:10]) for line in lines)
    assert "\x1b" not in "".join(lines)


def test_the_console_repeats_no_sid_and_shows_a_trace_below_its_line() -> None:
    stream = configured("console")
    log = structlog.get_logger()
    log.info("server.started", port=8080)
    log.bind(**CALL).error("child.crashed", child="transcoder", error="ValueError: x", exc_info=ValueError("x"))
    said = stream.getvalue().decode()
    assert "server.started  port=8080" in said
    assert "transcoder has crashed: ValueError: x\nValueError: x\n" in said
    assert CALL["call_sid"] not in said
    assert CALL["stream_sid"] not in said


def test_auto_is_json_where_there_is_no_terminal() -> None:
    stream = configured("auto")
    structlog.get_logger().info("an.event")
    assert lines(stream)[0]["message"] == "an.event"
