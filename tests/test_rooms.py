"""Which room may know which: imports go one way, and each library has its one place."""

import ast
from collections.abc import Iterator
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
    "effects": {"messages"},
    "settings": set(),
    "states": {"messages", "effects"},
    "wire": set(),
    "audio": set(),
    "store": {"messages"},
    "tools": set(),
    "telemetry": {"settings", "messages", "effects", "actors", "audio"},
    "gemini": {"tools", "settings", "wire", "messages", "audio"},
    "actors": {"messages", "effects", "states", "wire", "audio", "gemini", "store", "tools", "settings"},
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


def imports_of(module: str) -> set[str]:
    return set(imported(MODULES[module], module))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def knows(module: str, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in imports_of(module))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_the_rooms_below_it(module: str) -> None:
    room = room_of(module)
    if room in ENTRANCES:
        return
    own = {room_of(name) for name in imports_of(module) if name.startswith("callbot.")}
    assert own - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_servers_room_is_known_to_the_entrances_alone(module: str) -> None:
    if room_of(module) != "server" and module not in MAY_IMPORT_SERVER:
        assert not knows(module, "callbot.server")


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) == "gemini"))
def test_the_models_room_takes_nothing_from_audio_but_levels(module: str) -> None:
    assert all(name.startswith("callbot.audio.levels") for name in imports_of(module) if name.startswith("callbot.audio"))


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) == "simulators"))
def test_the_stand_ins_share_nothing_with_what_they_test(module: str) -> None:
    own = {name for name in imports_of(module) if name.split(".")[0] == "callbot"}
    assert all(name.startswith("callbot.simulators") for name in own)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_library_is_known_where_it_belongs_and_nowhere_else(module: str) -> None:
    room = room_of(module)
    if room == "simulators":  # apart from everything, with libraries of their own
        return
    if knows(module, "quart"):
        assert room == "server" or module == "callbot.actors.twilio_io"
    if knows(module, "google.genai"):
        assert room == "gemini" or module == "callbot.actors.gemini_session"
    if knows(module, "transitions"):
        assert room == "states"


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) in {"states", "messages", "effects"}))
def test_the_machine_knows_no_clock_no_loop_and_no_socket(module: str) -> None:
    assert not any(knows(module, library) for library in ("asyncio", "time", "datetime", "socket", "random"))


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of(name) in {"wire", "audio"}))
def test_formats_and_audio_are_pure(module: str) -> None:
    assert not any(knows(module, library) for library in ("asyncio", "time", "socket", "random", "logging", "structlog"))


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and {alias.name for alias in node.names} & ENVIRONMENT:
            return True
    return False


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nobody_but_the_settings_reads_the_environment(module: str) -> None:
    # A stand-in run by itself is a program of its own: it may not know the settings, so its command line reads what it needs.
    programs = {"callbot.settings", "callbot.simulators.gemini.__main__", "callbot.simulators.twilio.__main__"}
    assert module in programs or not _reads_environment(MODULES[module])


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
