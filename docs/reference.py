"""Writes `.env.example` and `docs/settings.md` from `callbot/settings.py`: `make docs`, or `python -m docs.reference`.

A setting's description is the comment beside it, or the lines above it; its section is the last `# --- name ---`.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr

from callbot.settings import DEFAULT_GREETING, DEFAULT_PROMPT, Settings
from callbot.settings_loading import environment_names

ROOT = Path(__file__).parents[1]
# What has to be set, and so stands without a # in .env.example.
NEEDED = {"SERVICE_URL": "https://bot.example", "TWILIO_AUTH_TOKEN": "", "GEMINI_API_KEY": ""}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as people meet it."""

    name: str
    section: str
    default: str
    description: str
    bounds: str


def settings() -> list[Setting]:
    """Every setting, in the order of the source; those of a class that `Settings` is made from before its own."""
    classes = [each for each in reversed(Settings.__mro__) if each.__module__.startswith("callbot.")]
    return [setting for each in classes for setting in _settings_of(each)]


def _settings_of(of_class: type) -> Iterator[Setting]:
    lines = Path(inspect.getfile(of_class)).read_text().splitlines()
    names = environment_names()
    (body,) = (
        node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef) and node.name == of_class.__name__
    )
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = node.lineno - 2
        comments: list[str] = []
        while re.match(r"\s+# (?!---)", lines[above]):
            comments.insert(0, lines[above].strip(" #"))
            above -= 1
        beside = re.search(r"  # (?!noqa)(.*)$", lines[(node.end_lineno or node.lineno) - 1])
        comments += [beside[1].strip()] if beside else []
        headings = [line for line in lines[body.lineno : node.lineno] if "# ---" in line]
        section = headings[-1].strip(" #-") if headings else "how the model is asked"
        name = node.target.id
        yield Setting(names[name], section, _default(name), " ".join(comments), _bounds(name))


def _default(name: str) -> str:
    value: Any = Settings.model_fields[name].default
    if value is None or value == () or isinstance(value, SecretStr):
        return ""
    if value == DEFAULT_PROMPT:
        return ""
    if value == DEFAULT_GREETING:
        return value
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(name: str) -> str:
    field = Settings.model_fields[name]
    words = {"Gt": ("over", "gt"), "Ge": ("from", "ge"), "Le": ("to", "le"), "Lt": ("under", "lt")}
    known = ((*words[type(bound).__name__], bound) for bound in field.metadata if type(bound).__name__ in words)
    said = [f"{word} {getattr(bound, attribute):g}" for word, attribute, bound in known]
    return " ".join(said) or ", ".join(str(choice) for choice in get_args(_literal(field.annotation)))


def _literal(annotation: Any) -> Any:
    """The `Literal` of an annotation, behind the name of a type alias if it has one; None without one."""
    annotation = getattr(annotation, "__value__", annotation)
    return annotation if get_origin(annotation) is Literal else None


def env_example() -> str:
    """The text of `.env.example`."""
    lines = [
        "# callbot reads these from the environment, or from a file named .env in the folder where it is started.",
        "# Lines that begin with # show defaults. Times are in the unit that the name says. Made from callbot/settings.py.",
    ]
    section = ""
    for setting in settings():
        if setting.name.startswith("K_"):
            continue  # Cloud Run sets them
        if setting.section != section:
            section = setting.section
            lines += ["", f"# --- {section} ".ljust(100, "-")]
        lines.append(f"# {setting.description}")
        value = NEEDED.get(setting.name, setting.default)
        lines.append(f"{setting.name}={value}" if setting.name in NEEDED else f"# {setting.name}={value}")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """The text of `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "callbot reads these from the environment, or from a file named `.env` in the folder where it is started.",
        "Names that begin with `CALLBOT_` and are not here are refused. `callbot check` says what is wrong with a",
        "configuration before a caller hears it. This page and [.env.example](../.env.example) are made from",
        "`callbot/settings.py` by `make docs`.",
    ]
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"## {section[0].upper()}{section[1:]}", ""]
            lines += ["| name | default | takes | meaning |", "|---|---|---|---|"]
        default = f"`{setting.default}`" if setting.default else ""
        description = setting.description.replace("|", "\\|").replace("<", "\\<")
        lines.append(f"| `{setting.name}` | {default} | {setting.bounds} | {description} |")
    return "\n".join(lines) + "\n"


PAGES = {ROOT / ".env.example": env_example, ROOT / "docs" / "settings.md": settings_page}

if __name__ == "__main__":
    for path, text in PAGES.items():
        path.write_text(text())
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
