"""SECURITY.md says what is true: its tests exist, its settings have the defaults that it names, its metrics are counted."""

import ast
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from callbot.server.metrics import ServerMetrics
from callbot.settings import Settings
from callbot.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its two head lines."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert function in functions


def test_each_threat_has_a_defence_and_a_test() -> None:
    threats = rows("Threats")
    assert len(threats) > 30
    for threat, defence, test in threats:
        assert threat
        assert defence
        assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", test), threat


@pytest.mark.parametrize("row", rows("Limits"), ids=lambda row: row[0])
def test_each_limit_is_a_setting_with_this_default_a_metric_and_a_test(row: list[str]) -> None:
    _, setting, default, metric, test = row
    field = Settings.model_fields[setting.strip("`").removeprefix("CALLBOT_").lower()]
    assert field.default == float(default)
    registry = CollectorRegistry()
    Metrics(registry)
    ServerMetrics(registry)
    assert metric.strip("`") in {family.name for family in registry.collect()}
    assert test.strip("`") in NAMED
