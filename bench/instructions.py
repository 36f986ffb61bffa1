"""`make instructions`: what the audio path costs in instructions, as a ratio to libsamplerate's bare converter.

Seconds lie on a busy machine, instructions hardly do: valgrind counts the same total for the same work, whatever else runs.
The work of 100 frames is taken from that of 600, so start-up drops out. A ratio over its limit is a regression: exit code 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_FEW, _MANY = 100, 600
# Measured 2026-11-22 with CPython 3.13.0 and numpy 2.5.5, plus a twentieth: see docs/performance.md.
LIMITS = {"up": 0.205, "down": 0.18}


def main() -> int:
    """Count, print, compare; returns the exit code, 77 when valgrind is not there (what test harnesses take for skipped)."""
    if shutil.which("valgrind") is None:
        print("instructions: skipped, valgrind is not installed (Debian: apt-get install valgrind)")
        return 77
    worst = 0
    for way, limit in LIMITS.items():
        chain, bare = _per_frame(way), _per_frame(f"{way}_bare")
        ratio = chain / bare
        verdict = "ok" if ratio <= limit else "OVER"
        print(f"{way:<5} {chain:>9,.0f} instructions a frame, bare {bare:>9,.0f}: {ratio:.3f} to 1, at most {limit}: {verdict}")
        worst = max(worst, int(ratio > limit))
    return worst


def _per_frame(kind: str) -> float:
    return (_count(kind, _MANY) - _count(kind, _FEW)) / (_MANY - _FEW)


def _count(kind: str, frames: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={Path(folder) / 'out'}",
                sys.executable,
                "-m",
                "bench.audio_work",
                kind,
                str(frames),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"instructions: the run of {kind} failed:\n{done.stderr[-1500:]}")
    return int(found[1])


if __name__ == "__main__":
    raise SystemExit(main())
