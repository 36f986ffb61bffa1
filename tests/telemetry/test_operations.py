"""The operator's page has every event, metric, cause and refusal that callbot has a name for, and none that it has not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from callbot.gemini import failures, reasons
from callbot.messages.terms import Reason
from callbot.server.metrics import ServerMetrics
from callbot.settings_loading import environment_names
from callbot.telemetry.metrics import Metrics, watch_log

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [path for path in (ROOT / "callbot").rglob("*.py") if "simulators" not in path.parts]
EVENT = re.compile(r"[a-z]+(\.[a-z_0-9]+)+|barge_in")
# Not made by a plain call: a word of the line is a variable.
FORMED = {"webhook.refused", "stream.refused", "connection.refused", "log.dropped", "library.said", "transcript"}
# Of what the service names in its text; of an answer's status; and of our own.
FORMED_CAUSES = {"close_*_voice", "close_*_field_*", Reason.SESSION_CRASHED.value, "closed_by_us"} | {
    f"http_{code}" for code in (301, 302, 303, 307, 308)
}


def section(title: str) -> str:
    """The text under a heading, to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#{{1,3}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def first_cells(text: str) -> set[str]:
    """What stands in backticks in the first column of its tables."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def events() -> set[str]:
    return {name for path in SOURCES for name in _events(path)} | FORMED


def _events(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        written = node.func.attr in {"debug", "info", "warning", "error", "exception", "critical", "log", "_line"}
        names = [each.value for each in node.args[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        yield from (name for name in names if written and EVENT.fullmatch(name))


def test_every_event_is_on_the_page_and_every_event_on_the_page_is_logged() -> None:
    told = first_cells(section("Log lines")) - {"message"}
    assert (events() - told, told - events()) == (set(), set())


def test_every_metric_is_on_the_page_and_every_metric_on_the_page_is_told() -> None:
    registry = CollectorRegistry()
    ServerMetrics(registry)
    Metrics(registry)
    watch_log(registry)
    ours = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}
    ours |= {"callbot_store_up", "callbot_worker_scraped"}
    told = {name.partition("{")[0] for name in first_cells(section("Metrics"))}
    assert (ours - told, told - ours) == (set(), set())


def causes() -> set[str]:
    """As the page has them: what a text says is judged with any close code, hence the star."""
    source = Path(failures.__file__).read_text()
    made = set(
        re.findall(r'(?:Failure|_refused)\(\s*(?:Decision\.\w+(?: if opened else Decision\.\w+)?|decision), "(\w+)"', source)
    )
    judged = set(re.findall(r'Judged\(\s*"(\w+)"', Path(reasons.__file__).read_text()))
    return (
        made
        | {f"close_{row.name}" for row in failures.CLOSE_CODES.values()}
        | {f"close_*_{name}" for name in judged}
        | {f"http_{code}" for code in failures.HTTP_STATUSES}
        | FORMED_CAUSES
    )


def test_every_cause_of_a_lost_session_is_on_the_page_and_no_other() -> None:
    told = first_cells(section("Causes of lost sessions")) - {"cause"}
    assert (causes() - told, told - causes()) == (set(), set())


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(CALLBOT_[A-Z_]+)", PAGE))))
def test_every_setting_that_the_page_names_is_one(name: str) -> None:
    assert name in environment_names().values()
