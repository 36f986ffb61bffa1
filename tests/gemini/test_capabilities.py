"""Which family a model's name belongs to, and that each family has its row for each back end."""

from typing import get_args

import pytest

from callbot.gemini.capabilities import TABLE, Backend, Capabilities, Family, History, Opening, capabilities_of, family_of

BACKENDS: tuple[Backend, ...] = get_args(Backend)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gemini-2.5-flash-native-audio-preview-12-2025", Family.NATIVE_2_5),
        ("gemini-live-2.5-flash-native-audio", Family.NATIVE_2_5),
        ("gemini-live-2.5-flash-preview", Family.NATIVE_2_5),
        ("gemini-3.1-flash-live-preview", Family.LIVE_3_1),
        ("gemini-3.8-live", Family.LIVE_3_8),
        ("gemini-3.8-live-preview-11-2026", Family.LIVE_3_8),
        ("gemini-3.8-live-extended-thinking", Family.EXTENDED_3_8),
        ("gemini-3.8-live-extended-thinking-preview", Family.EXTENDED_3_8),
        ("models/gemini-3.8-live", Family.LIVE_3_8),
        ("projects/p/locations/l/publishers/google/models/gemini-3.1-flash-live", Family.LIVE_3_1),
        ("GEMINI-3.8-LIVE", Family.LIVE_3_8),
        ("gemini-2.5-pro", Family.UNKNOWN),
        ("gemini-3.8-pro", Family.UNKNOWN),
        ("gemini-4.0-live", Family.UNKNOWN),
        ("", Family.UNKNOWN),
    ],
)
def test_a_models_name_tells_its_family(name: str, family: Family) -> None:
    assert family_of(name) is family


def test_each_family_has_a_row_for_each_back_end() -> None:
    assert set(TABLE) == {(family, backend) for family in Family for backend in BACKENDS}


@pytest.mark.parametrize(
    ("model", "backend", "expected"),
    [
        (
            "gemini-2.5-flash-native-audio",
            "gemini",
            Capabilities(True, False, True, History.INSTRUCTION, Opening.CLIENT_CONTENT, True, True, True),
        ),
        (
            "gemini-2.5-flash-native-audio",
            "vertex",
            Capabilities(True, True, True, History.INSTRUCTION, Opening.CLIENT_CONTENT, True, False, True),
        ),
        (
            "gemini-3.1-flash-live",
            "gemini",
            Capabilities(True, False, False, History.INITIAL_CONTENT, Opening.REALTIME_TEXT, True, False, True),
        ),
        (
            "gemini-3.8-live",
            "gemini",
            Capabilities(True, False, False, History.INSTRUCTION, Opening.REALTIME_TEXT, True, True, True),
        ),
        (
            "gemini-3.8-live-extended-thinking",
            "vertex",
            Capabilities(True, False, False, History.INSTRUCTION, Opening.REALTIME_TEXT, False, False, True),
        ),
    ],
)
def test_rows_that_calls_depend_on(model: str, backend: Backend, expected: Capabilities) -> None:
    assert capabilities_of(model, backend) == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_that_nobody_has_met_gets_only_what_every_model_takes(backend: Backend) -> None:
    unknown = capabilities_of("gemini-9-live", backend)
    for (_, known_backend), known in TABLE.items():
        if known_backend == backend:
            for name in ("temperature", "language_code", "thinking_budget", "blocking_tools", "tool_scheduling"):
                assert not getattr(unknown, name) or getattr(known, name)


def test_vertex_is_given_no_scheduling_and_no_initial_history() -> None:
    for (_, backend), row in TABLE.items():
        if backend == "vertex":
            assert not row.tool_scheduling
            assert row.history is History.INSTRUCTION
