"""The variables of this process: the only place that reads them besides pydantic-settings, and names that are none of ours."""

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

PREFIX: Final = "CALLBOT_"

# Variables that Kubernetes makes for a service whose name begins with callbot ("Accessing the Service", Kubernetes docs).
_SERVICE_LINK: Final = re.compile(
    r"CALLBOT_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def variables() -> Mapping[str, str]:
    """This process's environment, libraries' variables (proxies, CA bundles) included."""
    return os.environ


def variables_in(file: str | Path | None) -> Mapping[str, str]:
    """What a `.env` file sets; nothing when there is none. Raises OSError and UnicodeDecodeError."""
    return {} if file is None else {name: value or "" for name, value in dotenv_values(file).items()}


def unknown_names(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A sentence for each name that begins with `CALLBOT_` and is not `known`, with the nearest that is."""
    problems = []
    for name, value in environment.items():
        shown = name.upper()
        if not shown.startswith(PREFIX) or shown in known:
            continue
        if _SERVICE_LINK.fullmatch(shown) and (shown != f"{PREFIX}PORT" or "://" in value):
            continue
        problems.append(f"{shown} is no setting of callbot's{_nearest(shown, known)}")
    return problems


def _nearest(name: str, known: Collection[str]) -> str:
    bare = {each.removeprefix(PREFIX): each for each in known}
    near = get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return f"; did you mean {bare[near[0]]}?" if near else "; .env.example has them all."
