"""One campaign of libFuzzer's, by way of `atheris`: the command line, the limits, and the figures at the end.

The memory of the process is bounded (`rss_limit_mb`, an input that passes it is a crash), an input that takes longer than
`INPUT_TIMEOUT_S` is one too. What libFuzzer says about coverage is read from its own status lines.
"""

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
INPUT_TIMEOUT_S = 10  # a webhook takes a millisecond, a message some microseconds
RSS_LIMIT_MB = 1024
LARGEST_INPUT = 4096  # bytes; what matters in a message or a form fits into that

Check = Callable[[bytes], object]


class BrokenPromise(Exception):
    """The code under test did what it must not."""


def require(holds: bool, promise: str) -> None:
    """Raises `BrokenPromise` unless it holds."""
    if not holds:
        raise BrokenPromise(promise)


def run(name: str, load: Callable[[], Check], seeds: Iterable[bytes], words: Iterable[str]) -> None:
    """Fuzz what `load` returns; it is called with atheris's import hook active, so that what it imports is instrumented.

    New inputs go to `--keep` (a folder that is thrown away unless named); `tests/corpus/<name>` is read too.
    """
    options = _parser(name).parse_args()
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["callbot", "fuzz", "twilio.request_validator", "urllib.parse"]):
        check = load()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = Path(options.keep) if options.keep else folder / "kept"
        kept.mkdir(parents=True, exist_ok=True)
        seeded = folder / "seeds"
        seeded.mkdir()
        for number, seed in enumerate(seeds):
            (seeded / f"{number:03}").write_bytes(seed)
        dictionary = folder / "words"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words), encoding="ascii")
        read_too = [str(seeded), *([str(CORPUS / name)] if (CORPUS / name).is_dir() else [])]
        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={options.seconds}",
                f"-max_len={LARGEST_INPUT}",
                f"-timeout={INPUT_TIMEOUT_S}",
                f"-rss_limit_mb={RSS_LIMIT_MB}",
                f"-dict={dictionary}",
                f"-artifact_prefix={kept.parent}/{name}-",
                f"-seed={options.seed}",
                "-print_final_stats=1",
                "-reload=0",
                str(kept),
                *read_too,
            ],
            _bounded(check, report_every=options.report_every),
        )
        atheris.Fuzz()


def _bounded(check: Check, *, report_every: int) -> Callable[[bytes], None]:
    executions = 0

    def one(text: bytes) -> None:
        nonlocal executions
        executions += 1
        check(text)
        if executions % report_every == 0:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            sys.stderr.write(f"# {executions} executions, peak memory {peak_mb} MB\n")

    return one


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m fuzz.fuzz_{name}", description=f"Fuzz the {name}.")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--seed", type=int, default=1, help="libFuzzer's seed (1)")
    parser.add_argument("--keep", help="folder for inputs that reached something new")
    parser.add_argument("--report-every", type=int, default=50_000, help="executions between two reports of the memory")
    return parser


def _escaped(word: str) -> str:
    return "".join(char if char.isalnum() else "".join(f"\\x{byte:02x}" for byte in char.encode()) for char in word)
