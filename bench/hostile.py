"""What strangers cost the others: N calls that speak both ways, and every attack of `attackers.py` at once, on and off.

One server, one set of calls; windows with and without the attackers follow one another, so that what else the machine does
falls on both. Every second quiet window is put aside and compared with the other quiet ones: that ratio is the noise.
The attackers are a process of their own on the load's core, nice, so that what is late is the server and not the clock.

    python -m bench.hostile --calls 10 --rounds 6 --window 5
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from bench.attackers import ATTACKS, Loot
from bench.measure import Quantiles, Server, _delays, _pairs, cpu_s, pin_load, rss, run, server
from bench.phone_peer import ACCOUNT, ORIGIN, PhoneCall, place_call, sign, stream_token

SETTLE_S = 1.5  # after a window: what the attackers left is cleared away, and counts for neither


@dataclass(slots=True)
class Window:
    """One stretch of time."""

    kind: str  # quiet, quiet again, attack
    from_s: float
    to_s: float
    core_percent: float
    rss_mb: float
    lags: Counter[str]  # how late the server's loop was: samples under each bound in s, as its histogram counts them


@dataclass(slots=True)
class Arm:
    """All windows of one kind."""

    down_s: list[float] = field(default_factory=list)
    up_s: list[float] = field(default_factory=list)
    core_percent: list[float] = field(default_factory=list)
    lags: Counter[str] = field(default_factory=Counter)

    def late_percent(self) -> dict[str, float]:
        """How many of the loop's timers were later than so many seconds: half a frame, a frame, more than two."""
        whole = max(1, self.lags["+Inf"])
        return {bound: round(100 * (1 - self.lags[bound] / whole), 1) for bound in ("0.01", "0.02", "0.05")}


async def measure(calls: int, rounds: int, window_s: float, pause_s: float) -> dict[str, object]:
    """Run it; the figures by name."""
    limits = {"CALLBOT_START_TIMEOUT_S": "1", "CALLBOT_REQUEST_TIMEOUT_S": "1", "CALLBOT_MAX_UNAUTHENTICATED_SOCKETS": "64"}
    limits |= {"CALLBOT_CALLER_SILENCE_S": "0"}  # bursts of noise are no speech
    async with server("callbot", converter="sinc_medium", talk=True, **limits) as under_test:
        phones = [PhoneCall(number) for number in range(calls)]
        attacks: Counter[str] = Counter()
        windows: list[Window] = []
        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(place_call(phone, under_test.port, under_test.http))
                await asyncio.sleep(0.02)
            await asyncio.sleep(3.0)
            for number in range(rounds):
                for kind in ("quiet" if number % 2 else "quiet again", "attack"):
                    windows.append(await _window(kind, under_test, window_s, attacks, pause_s))
                    await asyncio.sleep(SETTLE_S)
            sessions = len(under_test.model.calls)
            for phone in phones:
                phone.stop.set()
        said = under_test.output.read_bytes()
    return _figures(phones, under_test, windows, attacks, sessions, said)


async def _window(kind: str, under_test: Server, window_s: float, attacks: Counter[str], pause_s: float) -> Window:
    attackers = None
    if kind == "attack":
        command = [sys.executable, "-m", "bench.hostile", "--attack", str(under_test.port)]
        command += ["--window", str(window_s), "--pause", str(pause_s)]
        attackers = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert attackers.stdout is not None
        await attackers.stdout.readline()  # they are at the door
    lags = await _lags(under_test)
    from_s, cpu_from_s = time.perf_counter(), cpu_s(under_test.pid)
    await asyncio.sleep(window_s)
    to_s, cpu_to_s = time.perf_counter(), cpu_s(under_test.pid)
    memory_mb = rss(under_test.pid) / 2**20
    lags = await _lags(under_test) - lags
    if attackers is not None:
        done, _ = await attackers.communicate()
        attacks.update(json.loads(done))
    return Window(kind, from_s, to_s, 100 * (cpu_to_s - cpu_from_s) / (to_s - from_s), memory_mb, lags)


async def _lags(under_test: Server) -> Counter[str]:
    assert under_test.http is not None
    async with under_test.http.get(f"http://127.0.0.1:{under_test.port}/metrics") as answer:
        found = re.findall(r'callbot_event_loop_lag_seconds_bucket{le="([^"]+)"} ([0-9.e+]+)', await answer.text())
    return Counter({bound: int(float(count)) for bound, count in found})


def _figures(
    phones: list[PhoneCall],
    under_test: Server,
    windows: list[Window],
    attacks: Counter[str],
    sessions: int,
    said: bytes,
) -> dict[str, object]:
    arms: dict[str, Arm] = {kind: Arm() for kind in ("quiet", "quiet again", "attack")}
    pairs = _pairs(phones, under_test.model)
    for window in windows:
        arm = arms[window.kind]
        arm.core_percent.append(window.core_percent)
        arm.lags += window.lags
        for phone, model in pairs:
            arm.down_s += _delays(list(model.said_s), phone.heard_s, window.from_s, window.to_s)
            arm.up_s += _delays(phone.said_s, model.heard_s, window.from_s, window.to_s)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]
    refused: Counter[str] = Counter()
    for line in lines:
        if line["message"].endswith(".refused"):
            refused[line["reason"]] += 1 + line.get("unlogged", 0)
    quiet = arms["quiet"].down_s + arms["quiet again"].down_s
    return {
        "calls": len(phones),
        "broken": sorted({phone.broke for phone in phones if phone.broke}),
        "calls_ended": dict(Counter(line["reason"] for line in lines if line["message"] == "call.summary")),
        "down": {kind: Quantiles.of(arm.down_s) for kind, arm in arms.items()},
        "up": {kind: Quantiles.of(arm.up_s) for kind, arm in arms.items()},
        "core_percent": {kind: round(sum(arm.core_percent) / max(1, len(arm.core_percent)), 1) for kind, arm in arms.items()},
        "loop_late_percent": {kind: arm.late_percent() for kind, arm in arms.items()},
        "ratio_p99_down": _ratio(arms["attack"].down_s, quiet),
        "noise_p99_down": _ratio(arms["quiet again"].down_s, arms["quiet"].down_s),
        "ratio_p99_up": _ratio(arms["attack"].up_s, arms["quiet"].up_s + arms["quiet again"].up_s),
        "noise_p99_up": _ratio(arms["quiet again"].up_s, arms["quiet"].up_s),
        "rss_mb": [round(window.rss_mb, 1) for window in windows],
        "attacks": dict(attacks),
        "refused": dict(refused),
        "refusal_lines": sum(1 for line in lines if line["message"].endswith(".refused")),
        "sessions_beside_the_calls": sessions - len(phones),  # each flood has come with a token that was good
        "crashes": sum(1 for line in lines if "crashed" in line["message"]),
    }


def _ratio(of_s: list[float], to_s: list[float]) -> float:
    return round(Quantiles.of(of_s).p99_ms / max(0.01, Quantiles.of(to_s).p99_ms), 2)


async def attack(port: int, window_s: float, pause_s: float) -> None:
    """Be all the attackers for so long; prints how often each has come."""
    count: Counter[str] = Counter()
    async with aiohttp.ClientSession() as http:
        live, waiting = ("CA" + os.urandom(16).hex() for _ in range(2))
        form = {"CallSid": live, "AccountSid": ACCOUNT, "From": "+14155550100", "CallStatus": "ringing"}
        signed = sign(f"{ORIGIN}/twiml" + "".join(name + form[name] for name in sorted(form)))

        async def stolen(call_sid: str) -> tuple[str, str]:
            parameters = await stream_token(http, port, call_sid)
            return call_sid, (parameters or {}).get("token", "")

        async def loot() -> Loot:
            return Loot(
                port=port,
                account_sid=ACCOUNT,
                handshake_signature=sign("wss://" + ORIGIN.partition("://")[2] + "/ws/twilio"),
                overheard_webhook=(urlencode(form), signed),
                used_token=used,
                unused_token=unused,
                flood_token=await stolen("CA" + os.urandom(16).hex()),
                older_token=used,
                patience_s=10.0,
            )

        used, unused = await stolen(live), await stolen(waiting)
        with contextlib.suppress(TimeoutError):
            await ATTACKS["flood at 50x"].run(_with_flood(await loot(), used))  # the token is used up
        print("ready", flush=True)
        until_s = time.perf_counter() + window_s

        async def again_and_again(name: str) -> None:
            while time.perf_counter() < until_s:
                with contextlib.suppress(OSError, TimeoutError, EOFError):
                    await ATTACKS[name].run(await loot() if name == "flood at 50x" else common)
                count[name] += 1
                await asyncio.sleep(pause_s)

        common = await loot()
        async with asyncio.TaskGroup() as group:
            for name in ATTACKS:
                group.create_task(again_and_again(name))
                await asyncio.sleep(pause_s / len(ATTACKS) / 2)  # not in step, and each at least once
    print(json.dumps(count))


def _with_flood(loot: Loot, token: tuple[str, str]) -> Loot:
    return Loot(**{name: getattr(loot, name) for name in Loot.__slots__} | {"flood_token": token})


def main() -> None:
    """Measure and print, or be the attackers."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile")
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--window", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two rounds of one attack")
    parser.add_argument("--attack", type=int, metavar="PORT")
    options = parser.parse_args()
    pin_load()
    if options.attack:
        os.nice(19)
        run(attack(options.attack, options.window, options.pause))
        return
    for name, figure in run(measure(options.calls, options.rounds, options.window, options.pause)).items():
        print(f"{name}: {figure}")


if __name__ == "__main__":
    main()
