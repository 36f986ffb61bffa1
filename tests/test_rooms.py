"""Which room may know which: imports go one way, and each library has its one place."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "callbot"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# What a room may import of callbot, besides itself. A room that is not here may not import anything of callbot's.
MAY_IMPORT: dict[str, set[str]] = {
    "messages": set(),
    "brief": set(),
    "conversation": {"brief", "messages"},
    "effects": {"messages"},
    "environment": set(),
    "settings": {"brief", "environment"},
    "settings_loading": {"settings", "environment"},
    "preflight": {"settings", "environment"},
    "default_brief": {"brief", "settings"},
    "states": {"messages", "effects", "brief", "conversation"},
    "wire": set(),
    "audio": set(),
    "store": {"messages", "conversation"},
    "tools": set(),
    "telemetry": {"settings", "messages", "effects", "actors", "audio"},
    "gemini": {"tools", "settings", "wire", "messages", "audio", "brief", "conversation"},
    "actors": {"messages", "effects", "states", "wire", "audio", "gemini", "tools", "brief", "conversation"},
    "server": {"actors", "messages", "wire", "store", "settings", "telemetry", "gemini", "tools"},
    "simulators": set(),
}
# The entrances: they put the rooms together, so they may know all of them.
ENTRANCES = {"assembly", "check", "cli", "demo", "__main__", "__init__"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
MAY_IMPORT_SERVER = {"callbot.assembly", "callbot.cli", "callbot.demo"}


def imported(path: Path, module: str) -> Iterator[str]:
    """The dotted names of everything that a module imports, wherever in it."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@cache
def imports_of(module: str) -> frozenset[str]:
    return frozenset(imported(MODULES[module], module))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def in_rooms(*rooms: str) -> list[str]:
    return [module for module in MODULES if room_of(module) in rooms]


def knows(module: str, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in imports_of(module))


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    breaches = [
        f"{module} imports {name}"
        for module in in_rooms(room)
        for name in sorted(imports_of(module))
        if name.startswith("callbot.") and room_of(name) not in MAY_IMPORT[room] | {room}
    ]
    assert breaches == []


def modules_behind(module: str) -> set[str]:
    """The modules of callbot that a module imports names from, itself aside."""
    origins = {name if name in MODULES else name.rpartition(".")[0] for name in imports_of(module)}
    return {origin for origin in origins if origin in MODULES} - {module}


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports for types count as well: a circle in the types is a circle in the design.
    try:
        TopologicalSorter({module: modules_behind(module) for module in MODULES}).prepare()
    except CycleError as found:
        pytest.fail(" -> ".join(reversed(found.args[1])))


def test_the_servers_room_is_known_to_the_entrances_alone() -> None:
    outside = [module for module in MODULES if room_of(module) != "server" and module not in MAY_IMPORT_SERVER]
    assert [module for module in outside if knows(module, "callbot.server")] == []


def test_the_models_room_takes_nothing_from_audio_but_levels() -> None:
    taken = {name for module in in_rooms("gemini") for name in imports_of(module) if name.startswith("callbot.audio")}
    assert taken
    assert all(name.startswith("callbot.audio.levels") for name in taken)


def test_the_stand_ins_share_nothing_with_what_they_test() -> None:
    own = {name for module in in_rooms("simulators") for name in imports_of(module) if name.split(".")[0] == "callbot"}
    assert own
    assert all(name.startswith("callbot.simulators") for name in own)


@pytest.mark.parametrize(
    ("library", "rooms", "modules"),
    [
        ("quart", ("server",), {"callbot.actors.twilio_io"}),
        ("google.genai", ("gemini",), {"callbot.actors.gemini_session"}),
        ("transitions", ("states",), set[str]()),
    ],
)
def test_each_library_is_known_where_it_belongs_and_nowhere_else(
    library: str, rooms: tuple[str, ...], modules: set[str]
) -> None:
    # The stand-ins are apart from everything, with libraries of their own.
    allowed = {*in_rooms(*rooms, "simulators"), *modules}
    knowing = {module for module in MODULES if knows(module, library)}
    assert knowing & set(in_rooms(*rooms)), f"nobody knows {library} any more: drop its rule"
    assert knowing - allowed == set()


def test_the_machine_knows_no_clock_no_loop_and_no_socket() -> None:
    for module in in_rooms("states", "messages", "effects", "brief", "conversation"):
        assert not any(knows(module, library) for library in ("asyncio", "time", "datetime", "socket", "random")), module


def test_no_call_looks_at_the_settings() -> None:
    """A call is conducted by its brief; only what opens sockets to the model reads where they go and with which key."""
    knowing = {module for module in in_rooms("states", "actors", "gemini", "tools") if knows(module, "callbot.settings")}
    assert knowing == {"callbot.gemini.client", "callbot.gemini.connector"}


def test_formats_and_audio_are_pure() -> None:
    for module in in_rooms("wire", "audio"):
        assert not any(knows(module, library) for library in ("asyncio", "time", "socket", "random", "logging")), module


def _reads_environment(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and {alias.name for alias in node.names} & ENVIRONMENT:
            return True
    return False


def test_nobody_but_the_settings_reads_the_environment() -> None:
    # A stand-in run by itself is a program of its own: it may not know the settings, so its command line reads what it needs.
    programs = {
        "callbot.environment",
        "callbot.settings",
        "callbot.simulators.gemini.__main__",
        "callbot.simulators.twilio.__main__",
    }
    assert {module for module, path in MODULES.items() if _reads_environment(path)} <= programs


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import os\nos.environ['X']", True),
        ("import os as system\nsystem.getenv('X')", True),
        ("from os import environ as e", True),
        ("import os\nos.getpid()", False),
    ],
)
def test_a_look_at_the_environment_is_seen_however_it_is_written(source: str, reads: bool, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(source)
    assert _reads_environment(module) is reads


def test_every_room_has_its_rule() -> None:
    rooms = {room_of(module) for module in MODULES if module != "callbot"}
    assert rooms - ENTRANCES <= set(MAY_IMPORT)


def test_relative_imports_are_read_as_what_they_mean(tmp_path: Path) -> None:
    module = tmp_path / "turns.py"
    module.write_text("from . import link\nfrom ..wire import gemini\nfrom .link import ModelLink\n")
    assert set(imported(module, "callbot.gemini.turns")) == {
        "callbot.gemini.link",
        "callbot.wire.gemini",
        "callbot.gemini.link.ModelLink",
    }
