"""Which family a model's name belongs to, and that each family has its row for each back end."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import callbot.gemini
from callbot.gemini import reasons
from callbot.gemini.capabilities import (
    TABLE,
    Backend,
    Capabilities,
    Family,
    History,
    Opening,
    ThinkingLevel,
    capabilities_of,
    family_of,
)

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


GEMINI, VERTEX = BACKENDS
# What calls depend on: (model, back end) -> fields of its row.
FACTS: list[tuple[str, Backend, dict[str, object]]] = [
    # A set-up without a level is refused by the one, and one with a level by the other.
    ("gemini-3.8-live-extended-thinking", GEMINI, {"default_thinking_level": ThinkingLevel.LOW, "blocking_tools": False}),
    ("gemini-3.8-live", GEMINI, {"thinking_levels": frozenset(), "default_thinking_level": None, "thinking_budget": False}),
    ("gemini-3.1-flash-live", GEMINI, {"thinking_levels": frozenset(ThinkingLevel), "default_thinking_level": None}),
    ("gemini-2.5-flash-native-audio", GEMINI, {"thinking_levels": frozenset(), "thinking_budget": True}),
    # Client content amid audio closes 2.5 with 1007.
    (
        "gemini-2.5-flash-native-audio",
        GEMINI,
        {"opening": Opening.CLIENT_CONTENT, "history": History.INSTRUCTION},
    ),
    ("gemini-3.8-live", GEMINI, {"opening": Opening.REALTIME_TEXT}),
    ("gemini-3.1-flash-live", GEMINI, {"history": History.INITIAL_CONTENT}),
    # Proactive audio is always on in 3.8: false is refused.
    ("gemini-3.8-live", VERTEX, {"proactive_audio": frozenset({True}), "affective_dialog": False}),
    ("gemini-3.1-flash-live", GEMINI, {"proactive_audio": frozenset(), "affective_dialog": False}),
    ("gemini-2.5-flash-native-audio", GEMINI, {"affective_dialog": False, "alpha_only": True, "language_code": False}),
    ("gemini-2.5-flash-native-audio", VERTEX, {"affective_dialog": True, "alpha_only": False, "language_code": True}),
]


@pytest.mark.parametrize(("model", "backend", "expected"), FACTS)
def test_rows_that_calls_depend_on(model: str, backend: Backend, expected: dict[str, object]) -> None:
    row = capabilities_of(model, backend)
    assert {name: getattr(row, name) for name in expected} == expected


def test_what_is_new_in_an_api_version_is_left_out_of_others() -> None:
    model = "gemini-2.5-flash-native-audio"
    alpha, beta = (capabilities_of(model, GEMINI, version) for version in ("v1alpha", "v1beta"))
    assert (alpha.affective_dialog, alpha.proactive_audio) == (True, {True, False})
    assert (beta.affective_dialog, beta.proactive_audio) == (False, frozenset())


@pytest.mark.parametrize(("name", "_"), reasons._OPTIONAL)
def test_each_part_that_a_refusal_can_name_can_be_left_out(name: str, _: object) -> None:
    for row in TABLE.values():
        less = row.without(frozenset({name}))
        assert less.without(frozenset({name})) == less
        assert less.default_thinking_level is None or name != "thinking"


def test_a_level_that_is_sent_by_default_is_one_that_the_model_takes() -> None:
    for row in TABLE.values():
        assert row.default_thinking_level is None or row.default_thinking_level in row.thinking_levels


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_that_nobody_has_met_gets_only_what_every_model_takes(backend: Backend) -> None:
    unknown = capabilities_of("gemini-9-live", backend)
    flags = [field.name for field in fields(Capabilities) if isinstance(getattr(unknown, field.name), bool)]
    assert len(flags) >= 12
    for (_, known_backend), known in TABLE.items():
        if known_backend == backend:
            assert [name for name in flags if getattr(unknown, name) and not getattr(known, name)] == []
            assert unknown.thinking_levels <= known.thinking_levels
            assert unknown.proactive_audio <= known.proactive_audio


def test_vertex_is_given_no_initial_history() -> None:
    for (_, backend), row in TABLE.items():
        if backend == "vertex":
            assert row.history is History.INSTRUCTION


def test_every_capability_is_asked_for_somewhere() -> None:
    modules = Path(callbot.gemini.__file__).parent.glob("*.py")
    readers = "".join(path.read_text(encoding="utf-8") for path in modules)
    assert [one.name for one in fields(Capabilities) if not re.search(rf"(capabilities|row|self)\.{one.name}\b", readers)] == []
