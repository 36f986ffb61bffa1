"""How long `callbot serve` takes to answer: `python -m bench.startup`, on a quiet machine.

From exec to the first 200 of /healthz, and to the moment from which a call waits for nothing; medians of five, after one start
that only fills the bytecode cache. Then where the imports' time goes, by package, before the first answer and after it.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

RUNS = 5
POLL_S = 0.002
GIVE_UP_S = 60.0
SHOWN = 12  # packages, of some sixty
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)")


@dataclass
class Start:
    """One start, in seconds since exec."""

    answered_s: float
    loaded_s: float
    cpu_s: float


def environment(folder: str) -> dict[str, str]:
    """What a process needs in order to serve; bytecode is kept, as in an image or on the second start anywhere."""
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return inherited | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "SERVICE_URL": "https://bot.example",
        "TWILIO_AUTH_TOKEN": "0" * 32,
        "GEMINI_API_KEY": "none",
        "CALLBOT_HOST": "127.0.0.1",
        "TMPDIR": folder,
    }


def healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start_once(folder: str, more: dict[str, str]) -> Start:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    values = environment(folder) | {"PORT": str(port)} | more
    began_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "callbot", "serve"], cwd=folder, env=values, stdout=subprocess.PIPE)
    try:
        while not healthy(port):
            if process.poll() is not None or time.perf_counter() - began_s > GIVE_UP_S:
                raise SystemExit("callbot did not come up")
            time.sleep(POLL_S)
        answered_s = time.perf_counter() - began_s
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["message"] == "server.loaded":
                break
        loaded_s = time.perf_counter() - began_s
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    finally:
        process.terminate()
        process.communicate()
    return Start(answered_s, loaded_s, cpu_s)


def import_times(modules: str, folder: str) -> Counter[str]:
    """Milliseconds of the imports, without those that they import, by package."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {modules}"]
    told = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True).stderr
    spent: Counter[str] = Counter()
    for self_us, name in LINE.findall(told):
        top = name.split(".")[0]
        spent["the standard library" if top in sys.stdlib_module_names else top] += int(self_us)
    return Counter({name: us // 1000 for name, us in spent.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--redis-url", help="with the shared store")
    chosen = parser.parse_args()
    more = {"REDIS_URL": chosen.redis_url} if chosen.redis_url else {}
    with TemporaryDirectory() as folder:
        start_once(folder, more)
        starts = [start_once(folder, more) for _ in range(chosen.runs)]
        for name, values in (
            ("exec to the first 200 of /healthz", [start.answered_s for start in starts]),
            ("exec to everything loaded", [start.loaded_s for start in starts]),
            ("CPU until then", [start.cpu_s for start in starts]),
        ):
            print(f"{name:36} {statistics.median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")
        first = import_times("callbot.assembly, callbot.telemetry.logs, uvloop", folder)
        every = import_times(
            "callbot.assembly, callbot.telemetry.logs, uvloop, callbot.actors.call, callbot.gemini.connector", folder
        )
    later = {name: max(0, ms - first[name]) for name, ms in every.items()}
    print("\nimports, ms (measuring slows them by a half)         before the answer         after")
    print(f"  {'all':46} {first.total():17} {sum(later.values()):13}")
    for name, _ in every.most_common(SHOWN):
        print(f"  {name:46} {first[name]:17} {later[name]:13}")


if __name__ == "__main__":
    main()
