"""The slow checks of the deployment get a head start: they run beside the tests before them and are judged in their turn."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from tools_at_work import BATS_FILES, Run, Verdicts, gclouds_verdicts, run_bats, run_shellcheck

# Which fixture asks for which checks. The longest come first.
CHECKS: dict[str, tuple[Callable[[], Any], ...]] = {
    "bats_runs": tuple(partial(run_bats, file) for file in BATS_FILES),
    "gcloud_verdicts": (gclouds_verdicts,),
    "shellcheck_runs": (run_shellcheck,),
}


class HeadStart:
    """Checks at work in processes of their own; each is started once, when it is first wanted."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._running: dict[str, list[Future[Any]]] = {}

    def begin(self, name: str) -> None:
        if name not in self._running:
            self._running[name] = [self._pool.submit(check) for check in CHECKS[name]]

    def results(self, name: str) -> list[Any]:
        """What came of it; raises what the check raised, a skip for a missing tool included."""
        self.begin(name)
        return [check.result() for check in self._running[name]]

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


HEAD_START = pytest.StashKey[HeadStart]()


def pytest_collection_finish(session: pytest.Session) -> None:
    head_start = session.config.stash[HEAD_START] = HeadStart()
    # A worker of pytest-xdist has collected all tests but is given only some: there a check begins when it is wanted.
    if not session.config.option.collectonly and not hasattr(session.config, "workerinput"):
        wanted = {name for item in session.items if isinstance(item, pytest.Function) for name in item.fixturenames}
        for name in CHECKS:
            if name in wanted:
                head_start.begin(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (head_start := session.config.stash.get(HEAD_START, None)) is not None:
        head_start.end()


@pytest.fixture
def head_start(pytestconfig: pytest.Config) -> HeadStart:
    return pytestconfig.stash[HEAD_START]


@pytest.fixture
def bats_runs(head_start: HeadStart) -> list[Run]:
    """One for each of BATS_FILES."""
    return head_start.results("bats_runs")


@pytest.fixture
def gcloud_verdicts(head_start: HeadStart) -> Verdicts:
    verdicts: Verdicts
    (verdicts,) = head_start.results("gcloud_verdicts")
    return verdicts


@pytest.fixture
def shellcheck_runs(head_start: HeadStart) -> dict[str, Run]:
    runs: dict[str, Run]
    (runs,) = head_start.results("shellcheck_runs")
    return runs
