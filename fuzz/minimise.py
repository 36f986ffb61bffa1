"""Choose from a campaign's inputs the few that reach everything the many reach: `python -m fuzz.minimise wire FOLDER...`.

Reach is measured by the interpreter (`sys.monitoring`, branches and lines of `callbot`), so no fuzzer is needed; the
smallest inputs are taken first. What is kept goes to `tests/corpus/<name>`, named by its hash; what is there is looked at
again.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from types import CodeType

from fuzz import campaign, fuzz_webhook, fuzz_wire

CHECKS: dict[str, campaign.Check] = {"wire": fuzz_wire.check, "webhook": fuzz_webhook.check}
SEEDS = {"wire": fuzz_wire.seeds, "webhook": fuzz_webhook.seeds}
MOST_FILES = 140  # for each of the two, so that both stay under 300
MOST_BYTES = 200_000
_TOOL = sys.monitoring.COVERAGE_ID


def reach(check: campaign.Check, text: bytes) -> frozenset[tuple[str, int, int]]:
    """The lines and branches of callbot that this input runs through, and what came out, which is a kind of its own."""
    seen: set[tuple[str, int, int]] = set()
    events = sys.monitoring.events

    def branch(code: CodeType, origin: int, destination: int) -> object:
        if "callbot" not in code.co_filename:
            return sys.monitoring.DISABLE
        seen.add((code.co_filename, origin, destination))
        return None

    def line(code: CodeType, number: int) -> object:
        if "callbot" not in code.co_filename:
            return sys.monitoring.DISABLE
        seen.add((code.co_filename, -1, number))
        return None

    sys.monitoring.use_tool_id(_TOOL, "corpus")
    sys.monitoring.register_callback(_TOOL, events.BRANCH, branch)
    sys.monitoring.register_callback(_TOOL, events.LINE, line)
    sys.monitoring.set_events(_TOOL, events.BRANCH | events.LINE)
    try:
        outcome = check(text)
    finally:
        sys.monitoring.set_events(_TOOL, events.NO_EVENTS)
        sys.monitoring.free_tool_id(_TOOL)
    return frozenset(seen | {(str(outcome), 0, 0)})


def minimise(name: str, texts: set[bytes]) -> list[bytes]:
    """A cover, smallest first."""
    covered: set[tuple[str, int, int]] = set()
    kept: list[bytes] = []
    for text in sorted(texts, key=lambda text: (len(text), text)):
        new = reach(CHECKS[name], text) - covered
        if new:
            covered |= new
            kept.append(text)
    return kept


def main() -> int:
    """Write the cover; 1 when it is larger than a repository should carry."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.minimise")
    parser.add_argument("name", choices=sorted(CHECKS))
    parser.add_argument("folder", nargs="*", type=Path)
    options = parser.parse_args()
    target = campaign.CORPUS / options.name
    target.mkdir(parents=True, exist_ok=True)
    files = [file for folder in [target, *options.folder] for file in folder.iterdir() if file.is_file()]
    kept = minimise(options.name, {file.read_bytes() for file in files} | set(SEEDS[options.name]()))
    for file in target.iterdir():
        file.unlink()
    for text in kept:
        (target / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)
    size = sum(map(len, kept))
    sys.stdout.write(f"{options.name}: {len(kept)} of {len(files)} inputs, {size} bytes\n")
    return int(len(kept) > MOST_FILES or size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
