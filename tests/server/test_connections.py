"""Hypercorn's settings as callbot has them."""

import hypercorn.config
import pytest

from callbot.server.limits.newcomers import NewcomerBudget
from callbot.server.transport import connections
from callbot.server.transport.connections import BoundedConfig


def test_the_date_of_an_answer_is_of_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BoundedConfig(1, NewcomerBudget(1.0, lambda: False), lambda _reason: None, lambda _fault: None)
    config.include_server_header = False
    now_s = 1_000_000_000.2
    for module in (connections.time, hypercorn.config):
        monkeypatch.setattr(module, "time", lambda: now_s)
    assert config.response_headers("h11") == [(b"date", b"Sun, 09 Sep 2001 01:46:40 GMT")]
    config.response_headers("h11").append((b"added", b"by a reader"))
    now_s += 0.7
    assert config.response_headers("h11") == [(b"date", b"Sun, 09 Sep 2001 01:46:40 GMT")]
    now_s += 0.2
    assert config.response_headers("h11") == [(b"date", b"Sun, 09 Sep 2001 01:46:41 GMT")]
