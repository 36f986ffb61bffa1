"""One measurement: a server on one core, both ends of its calls on the other, N calls that speak both ways without pause."""

import asyncio
import math
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import uvloop

from bench.lag import Lag
from bench.model_peer import ModelPeer
from bench.phone_peer import ORIGIN, TOKEN, PhoneCall, place_call
from bench.sound import caller_voice, likeness
from bench.track import Track

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SERVER_CORE, LOAD_CORE = 0, 1
_VOICE_SAMPLES, _HEARD_SAMPLES = 4_000, 6_000  # at 8 kHz: half a second of a voice, looked for in its first 0.75 s
_SAME_VOICE = 0.5  # its own is above 0.9, another's below 0.1
_PIECE = 320  # samples: 20 ms of the caller at the model's 16 kHz, 40 ms of the model at the caller's 8 kHz


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of a list of delays, in ms."""

    count: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0

    @classmethod
    def of(cls, delays_s: list[float]) -> "Quantiles":
        """Nearest rank."""
        if not delays_s:
            return cls()
        ordered = sorted(delays_s)
        rank = [round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) for share in (0.5, 0.95, 0.99)]
        return cls(len(ordered), *rank)


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement gave. `cpu_percent` is of one core, per call; memory is over the idle server's, per call; what was
    lost are 20 ms frames of the callers and 40 ms chunks of the model's, of those sent in the window.
    """

    system: str
    calls: int
    offered: int
    cpu_percent: float
    core_percent: float
    up: Quantiles
    down: Quantiles
    first_audio: Quantiles
    setup_to_model: Quantiles
    memory_mb: float
    up_lost: int
    down_lost: int
    refused: int
    broken: int
    load_percent: float
    stolen_percent: float  # of the machine's time: what the hypervisor gave to others
    lag_mean_ms: float  # how late the server's event loop was, by its own metric; 0 where it has none
    lag_p99_under_ms: float  # and the bound of the metric's bucket that holds 99 % of it
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Server:
    """A server under test."""

    name: str
    port: int
    pid: int
    model: ModelPeer
    idle_rss: int
    http: aiohttp.ClientSession | None
    output: Path


def family(pid: int) -> list[int]:
    """A process and its children, who are its workers."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and its workers so far."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return sum(int(of_one[11]) + int(of_one[12]) for of_one in fields) / TICKS


def stolen_s() -> float:
    """Seconds of all cores together that the hypervisor has given to other machines so far (proc(5), `steal`)."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / TICKS


def rss(pid: int) -> int:
    """Resident bytes of a process and its workers."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid)) * PAGE


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def server(name: str, *, converter: str = "sinc_medium", talk: bool = True, **settings: str) -> AsyncIterator[Server]:
    """Start a server ("callbot", "bare", or "bare_polyphase", the bare bridge with callbot's converter) against a fresh model
    peer; ends it afterwards.
    """
    model = ModelPeer(talk=talk)
    ready = asyncio.Event()
    serving = asyncio.ensure_future(model.run(ready))
    await ready.wait()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        ca, output = Path(folder) / "ca.pem", Path(folder) / "server.log"
        model.write_ca(str(ca))
        environment = (
            os.environ
            | {
                "PORT": str(port),
                "CALLBOT_HOST": "127.0.0.1",
                "SERVICE_URL": ORIGIN,
                "TWILIO_AUTH_TOKEN": TOKEN,
                "GEMINI_API_KEY": "bench",
                "GOOGLE_GEMINI_BASE_URL": f"https://127.0.0.1:{model.port}",
                "SSL_CERT_FILE": str(ca),
                "CALLBOT_UPSAMPLER": converter,
                "CALLBOT_DOWNSAMPLER": converter,
                "CALLBOT_MAX_CALLS": "500",
                "CALLBOT_MAX_CALLS_PER_CALLER_PER_MINUTE": "100000",
                "CALLBOT_PREWARM": "0",
                "CALLBOT_DRAIN_S": "1",
                "CALLBOT_MAX_UNAUTHENTICATED_SOCKETS": "500",
            }
            | settings
        )
        command = (
            [sys.executable, "-m", "bench.bare", str(port), str(model.port), str(ca), converter, *name.split("_")[1:]]
            if name != "callbot"
            else [sys.executable, "-m", "callbot", "serve"]
        )
        with output.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE})
            )
        try:
            await _until_listening(port, process, output)
            async with aiohttp.ClientSession() as http:
                idle_rss = await _settled_rss(process.pid)
                yield Server(name, port, process.pid, model, idle_rss, http if name == "callbot" else None, output)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def _until_listening(port: int, process: asyncio.subprocess.Process, output: Path) -> None:
    for _ in range(400):
        if process.returncode is not None:
            raise RuntimeError(f"the server ended: {_tail(output)}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.025)
        else:
            writer.close()
            return
    raise RuntimeError(f"the server does not listen: {_tail(output)}")


async def _settled_rss(pid: int) -> int:
    """Resident bytes once they have stopped growing: a server listens before all that it needs for a call is loaded."""
    settled, size = 0, rss(pid)
    for _ in range(100):
        await asyncio.sleep(0.1)
        settled, size = (settled + 1 if rss(pid) == size else 0), rss(pid)
        if settled >= 5:
            break
    return size


def _tail(output: Path) -> str:
    return output.read_text()[-2000:]


async def measure(
    name: str, calls: int, *, window_s: float, warm_s: float = 2.5, converter: str = "sinc_medium", **settings: str
) -> Result:
    """N calls at once, for `window_s` after a warm-up."""
    async with server(name, converter=converter, **settings) as under_test:
        phones = [PhoneCall(number) for number in range(calls)]
        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(place_call(phone, under_test.port, under_test.http))
                await asyncio.sleep(0.02 + 0.02 / max(1, calls))  # callers do not speak in step
            await asyncio.sleep(warm_s)
            lag_from = await Lag.so_far(under_test.http, under_test.port)
            stolen_from_s = stolen_s()
            from_s, cpu_from_s, load_from = time.perf_counter(), cpu_s(under_test.pid), resource.getrusage(resource.RUSAGE_SELF)
            await asyncio.sleep(window_s)
            to_s, cpu_to_s, load_to = time.perf_counter(), cpu_s(under_test.pid), resource.getrusage(resource.RUSAGE_SELF)
            stolen = (stolen_s() - stolen_from_s) / (to_s - from_s) / (os.cpu_count() or 1)
            memory = rss(under_test.pid) - under_test.idle_rss
            lag_to = await Lag.so_far(under_test.http, under_test.port)
            for phone in phones:
                phone.stop.set()
        # Of webhooks that are answered in the same moment some find all lines taken when their stream comes: refused there.
        refused = [phone for phone in phones if phone.refused or (phone.broke and not phone.bytes_heard)]
        live = [phone for phone in phones if phone not in refused]
        core = 100 * (cpu_to_s - cpu_from_s) / (to_s - from_s)
        load_s = load_to.ru_utime + load_to.ru_stime - load_from.ru_utime - load_from.ru_stime
        pairs = _pairs(live, under_test.model)
        lag_mean_ms, lag_p99_under_ms = lag_to.since(lag_from)
        return Result(
            system=name,
            calls=len(live),
            offered=calls,
            cpu_percent=round(core / max(1, len(live)), 3),
            core_percent=round(core, 1),
            up=Quantiles.of([d for phone, model in pairs for d in _delays(phone.said_s, model.heard_s, from_s, to_s)]),
            down=Quantiles.of([d for phone, model in pairs for d in _delays(list(model.said_s), phone.heard_s, from_s, to_s)]),
            first_audio=Quantiles.of([p.first_audio_s - p.started_s for p in live if p.first_audio_s]),
            setup_to_model=Quantiles.of([m.first_audio_s - p.started_s for p, m in pairs if m.first_audio_s]),
            memory_mb=round(memory / max(1, len(live)) / 2**20, 3),
            up_lost=sum(_lost(Track(phone.sent_s, model.arrived, _PIECE), from_s, to_s) for phone, model in pairs),
            down_lost=sum(_lost(Track(model.sent_s, phone.arrived, _PIECE), from_s, to_s) for phone, model in pairs),
            refused=len(refused),
            broken=sum(1 for phone in live if phone.broke),
            load_percent=round(100 * load_s / (to_s - from_s), 1),
            stolen_percent=round(100 * stolen, 2),
            lag_mean_ms=lag_mean_ms,
            lag_p99_under_ms=lag_p99_under_ms,
            extra={"broke": sorted({phone.broke for phone in live if phone.broke})[:3]},
        )


def _pairs(phones: list[PhoneCall], model: ModelPeer) -> list[tuple[PhoneCall, Any]]:
    """Each caller with its session: by the sound of its voice, since sessions carry no caller's name."""
    voices = [caller_voice(phone.number)[160:_VOICE_SAMPLES] for phone in phones]
    pairs = []
    free = list(range(len(phones)))
    for session in model.calls:
        if not free or not session.opening:
            continue
        heard = np.concatenate(session.opening)[: 2 * _HEARD_SAMPLES : 2]
        best = max(free, key=lambda place: likeness(heard, voices[place]))
        if likeness(heard, voices[best]) > _SAME_VOICE:
            free.remove(best)
            pairs.append((phones[best], session))
    return pairs


def _delays(said_s: list[float], heard_s: list[float], from_s: float, to_s: float) -> list[float]:
    """From each burst's sending to its arrival; bursts are half a second apart, so the next arrival is its own."""
    delays, at = [], 0
    for said in said_s:
        if not from_s <= said <= to_s - 0.5:
            continue
        while at < len(heard_s) and heard_s[at] < said:
            at += 1
        if at < len(heard_s) and heard_s[at] - said < 0.45:
            delays.append(heard_s[at] - said)
    return delays


def _lost(track: Track, from_s: float, to_s: float) -> int:
    """Pieces of this stretch that never came; the last half second may still be under way."""
    return sum(math.isinf(delay) for delay in track.delays(from_s, to_s - 0.5))


def pin_load() -> None:
    """The load takes the other core."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})


def run(coroutine: Any) -> Any:
    """Run on uvloop, as the server does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


if __name__ == "__main__":
    pin_load()
    for system in sys.argv[2:] or ["bare", "callbot"]:
        print(asdict(run(measure(system, int(sys.argv[1]), window_s=6.0))))
