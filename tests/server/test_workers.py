"""What the parent of several workers does with them, and how their figures become one answer."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from callbot.server.process import workers
from callbot.server.process.serve import LAST_RESORT_S
from callbot.server.process.worker_metrics import joined
from callbot.server.process.workers import KILL_AFTER_S, WorkerPlace, serve_by_workers
from callbot.server.transport.shared_listener import EMPTY, LoadBoard
from callbot.settings import Settings
from callbot.settings_loading import load


def settings(**more: object) -> Settings:
    return load(_env_file=None, port=0, host="127.0.0.1", workers=2, redis_url="redis://h", **more)


def test_a_place_is_one_word_of_a_command_line() -> None:
    place = WorkerPlace(1, 4, "callbot-ab12", 5, 6, 7, 8)
    assert WorkerPlace.read(place.argument()) == place
    with pytest.raises(ValueError, match="x"):
        WorkerPlace.read("callbot:1:x")


@pytest.mark.parametrize(("calls", "shares"), [(30, [8, 8, 7, 7]), (4, [1, 1, 1, 1]), (5, [2, 1, 1, 1])])
def test_the_instances_calls_are_shared_out_whole(calls: int, shares: list[int]) -> None:
    own = [WorkerPlace(number, 4, "n", 0, 0, 0, 0).own_settings(settings(max_calls=calls)) for number in range(4)]
    assert [each.max_calls for each in own] == shares
    assert not any(each.prewarm for each in own)


def test_the_parent_waits_for_a_workers_own_last_resort_and_not_for_cloud_runs() -> None:
    assert LAST_RESORT_S < KILL_AFTER_S < 3.0


def run_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, **more: object) -> int:
    """The parent with this shell script in place of every worker. `$WORKER` is its number, the folder is the test's."""
    worker = tmp_path / "worker"
    worker.write_text(f'#!/bin/sh\nWORKER=$(echo "$5" | cut -d: -f2)\ncd {tmp_path}\n{script}\n')
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    return serve_by_workers(settings(**more))


def test_workers_that_never_come_up_end_the_parent_with_their_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_with(monkeypatch, tmp_path, "exit 2") == 2
    assert run_with(monkeypatch, tmp_path, "exit 7") == 1
    assert run_with(monkeypatch, tmp_path, "kill -9 $$") == 1


def test_a_worker_that_dies_is_started_again_and_one_that_cannot_stop_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # They count as having served; the third start of any of them tells the parent to stop, and they do not heed its SIGTERM.
    monkeypatch.setattr(LoadBoard, "read", lambda _self, _worker: EMPTY._replace(at_s=1.0))
    monkeypatch.setattr(workers, "PAUSE_MIN_S", 0.01)
    monkeypatch.setattr(workers, "KILL_AFTER_S", 0.2)
    script = """
        echo start >> starts
        [ $(wc -l < starts) -ge 5 ] && [ $WORKER = 0 ] && {
          trap '' TERM
          kill -TERM $PPID
          while :; do sleep 0.05; done
        }
        [ $WORKER = 0 ] && exit 3
        exec sleep 600
    """
    assert run_with(monkeypatch, tmp_path, script, drain_s=0.2) == 1
    assert len((tmp_path / "starts").read_text().splitlines()) >= 5


def test_workers_that_end_in_order_end_the_parent_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
        trap 'exit 0' TERM
        [ $WORKER = 1 ] && kill -TERM $PPID
        while :; do sleep 0.05; done
    """
    assert run_with(monkeypatch, tmp_path, script) == 0


def test_a_second_signal_is_handed_on_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
        [ $WORKER = 1 ] && { trap 'exit 0' TERM; while :; do sleep 0.05; done; }
        trap 'trap "exit 0" TERM; kill -TERM $PPID' TERM
        kill -TERM $PPID
        while :; do sleep 0.05; done
    """
    assert run_with(monkeypatch, tmp_path, script, drain_s=600) == 0


def test_the_parents_end_is_a_sigterm_to_its_workers(tmp_path: Path) -> None:
    async def scenario() -> int:
        life, end = os.pipe()
        code = (
            "import time; from callbot.server.process.workers import WorkerPlace\n"
            f"WorkerPlace(0, 1, 'n', -1, -1, {life}, -1).end_with_parent(); print('up', flush=True); time.sleep(600)"
        )
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code), pass_fds=(life,), stdout=asyncio.subprocess.PIPE
        )
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"up\n"
        assert worker.returncode is None
        os.close(end)
        code_at_end = await worker.wait()
        os.close(life)
        return code_at_end

    assert asyncio.run(asyncio.wait_for(scenario(), 60)) == -signal.SIGTERM


def test_the_figures_of_all_workers_are_one_exposition() -> None:
    texts: dict[int, str | None] = {2: None}
    for worker in range(2):
        registry = CollectorRegistry()
        refused = Counter("refused", "By reason", ("reason",), registry=registry)
        refused.labels('a "quoted" {word}').inc(worker + 1)
        Gauge("live", "Calls", registry=registry).set(worker)
        Histogram("lag_seconds", "Lag", buckets=(1, 2), registry=registry).observe(1.5)
        texts[worker] = generate_latest(registry).decode()

    families = {family.name: family for family in text_string_to_metric_families(joined(texts).decode())}

    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    for worker in range(2):
        label = ("worker", str(worker))
        assert samples["refused_total", ("reason", 'a "quoted" {word}'), label] == worker + 1
        assert samples[("live", label)] == worker
        assert samples["lag_seconds_bucket", ("le", "2.0"), label] == 1
    assert [samples["callbot_worker_scraped", ("worker", str(worker))] for worker in range(3)] == [1, 1, 0]
    assert joined(texts).decode().count("# TYPE live gauge") == 1
