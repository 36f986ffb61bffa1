"""Rules and dashboard for Prometheus: promtool takes them, each alert fires when it should, every metric is ours."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from callbot.server.metrics import ServerMetrics
from callbot.telemetry.metrics import Metrics, watch_log

HERE = Path(__file__).parent
FILES = HERE.parents[1] / "deploy" / "prometheus"
# Made where their figures are: in `assembly`, and for several workers in `server`.
ELSEWHERE = {"callbot_store_up", "callbot_worker_scraped"}


def our_metrics() -> set[str]:
    registry = CollectorRegistry()
    ServerMetrics(registry)
    Metrics(registry)
    watch_log(registry)
    names = set(ELSEWHERE)
    for family in registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def expressions() -> list[str]:
    rules = re.findall(r"callbot_\w+", (FILES / "rules.yaml").read_text())
    panels = json.loads((FILES / "grafana.json").read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def test_rules_and_dashboard_use_metrics_that_callbot_has() -> None:
    used = {name for expression in expressions() for name in re.findall(r"callbot_\w+", expression)}
    assert used - our_metrics() == set()
    assert len(used) > 15


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    panels = json.loads((FILES / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on this machine (Debian: prometheus)")
    return subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_promtool_takes_the_rules_and_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    shutil.copy(FILES / "rules.yaml", tmp_path)
    shutil.copy(HERE / "prometheus_rules_test.yaml", tmp_path / "rules_test.yaml")
    checked = promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "rules_test.yaml", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads((FILES / "grafana.json").read_text())["panels"]
    queries = [target["expr"].replace("$job", "callbot") for panel in panels for target in panel["targets"]]
    rules = [{"record": f"r{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "r.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", "r.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_example_of_a_scrape_configuration_is_one(tmp_path: Path) -> None:
    shutil.copy(FILES / "rules.yaml", tmp_path)
    text = (FILES / "prometheus.yaml").read_text()
    (tmp_path / "prometheus.yaml").write_text(text)
    (tmp_path / "metrics-token").write_text("token")
    checked = promtool("check", "config", "prometheus.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
