"""The attackers of `bench/hostile.py`: a process of their own, of the lowest priority, that attacks when it is told to.

One JSON object a line: first what was stolen, then for each stretch the names of the attacks, then `{}` to stop; the answers
are "ready", "begun" and how often each has come. Whatever ends the process otherwise is told with what it said.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from websockets.exceptions import WebSocketException

from bench.attackers import ATTACKS, bomb, flood_clumps, ordinary_call
from bench.measure import pin_load, run
from bench.phone_peer import ACCOUNT, ORIGIN, PhoneCall, sign, stream_token, webhook
from bench.stranger import Loot, Token

ORDINARY = "ordinary call"
FLOODS = ("flood at 50x", "flood at once")  # each wants a token that is good, like a call
WAITERS = {"slow handshake": 16, "slow body": 16, "never start": 16}  # who only hold a place, hold this many
PATIENCE_S = 30.0  # for an answer of the attackers, who get only what the calls' ends leave of their core


class AttackersFailed(Exception):
    """The attackers' process has ended or is stuck; the text is what it said."""


@dataclass(slots=True)
class Attackers:
    """The process, seen from the bench."""

    process: asyncio.subprocess.Process
    said: Path  # what it writes to stderr
    patience_s: float = PATIENCE_S

    @asynccontextmanager
    async def attacking(self, names: tuple[str, ...]) -> AsyncIterator[Counter[str]]:
        """Attack in these ways meanwhile; the count is filled at the end."""
        count: Counter[str] = Counter()
        await self.tell({"names": names})
        await self.answer()
        yield count
        await self.tell({})
        count.update(await self.answer())

    async def tell(self, order: dict[str, Any]) -> None:
        """Send one line. A process that is gone shows when its answer is awaited."""
        assert self.process.stdin is not None
        if self.process.stdin.is_closing():
            return
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            await self.process.stdin.drain()

    async def answer(self) -> Any:
        """One line, decoded; raises `AttackersFailed`."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(self.patience_s):
                line = await self.process.stdout.readline()
                if not line:
                    await self.process.wait()
        except TimeoutError:
            raise AttackersFailed(f"no answer for {self.patience_s:g} s; they said: {self._tail()}") from None
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            ended = f"ended with {self.process.returncode}" if not line else f"answered {line!r}"
            raise AttackersFailed(f"the attackers {ended}; they said: {self._tail()}") from None

    def _tail(self) -> str:
        return self.said.read_text(errors="replace")[-3000:].strip() or "nothing"


@asynccontextmanager
async def attackers(port: int, victims: list[PhoneCall], *, every_s: float) -> AsyncIterator[Attackers]:
    """Start the attackers of these live calls, each of whom comes every `every_s`; ends them afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        with said.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.attack_run"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        them = Attackers(process, said)
        try:
            older = [(v.call_sid, secret, n) for v in victims for n, secret in enumerate(v.older_tokens, 1)]
            live = [(v.call_sid, v.token, v.stream) for v in victims]
            await them.tell({"port": port, "live": live, "older": older, "every_s": every_s})
            await them.answer()
            yield them
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Gang:
    """The attackers themselves."""

    def __init__(self, loot: Loot, older: list[Token], every_s: float, http: aiohttp.ClientSession) -> None:
        self._loot = loot
        # Each works once. When all are used up the last is shown again, and is refused as a used one.
        self._older = itertools.chain(older, itertools.repeat(loot.older_token))
        self._every_s = every_s
        self._http = http

    async def attack(self, names: list[str], count: Counter[str]) -> None:
        """Until cancelled; how often each has come is added to the count."""
        async with asyncio.TaskGroup() as group:
            for name in names:
                for _ in range(WAITERS.get(name, 1)):
                    group.create_task(self._again_and_again(name, count))
                await asyncio.sleep(self._every_s / len(names) / 2)  # not in step

    async def _again_and_again(self, name: str, count: Counter[str]) -> None:
        due_s = time.perf_counter()
        while True:
            loot = self._loot
            if name in (*FLOODS, ORDINARY):
                token = await self.fresh_token()
                loot = replace(loot, flood_token=token, clump_token=token)
            elif name == "second stream":
                loot = replace(loot, older_token=next(self._older))
            count[name] += 1
            try:
                await (ordinary_call(loot) if name == ORDINARY else ATTACKS[name].run(loot))
            except (OSError, EOFError, TimeoutError, WebSocketException):
                count["turned away"] += 1  # at the door, or while speaking: that is what they are there for
            due_s = max(due_s + self._every_s, time.perf_counter())  # at the same pace however quickly they are served
            await asyncio.sleep(due_s - time.perf_counter())

    async def fresh_token(self) -> Token:
        """A good one, for a call of its own."""
        call_sid = "CA" + os.urandom(16).hex()
        answer = await stream_token(self._http, self._loot.port, call_sid)
        return Token(call_sid, (answer or {}).get("token", ""))


async def obey() -> None:
    """Do what stdin says until it ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    stolen = json.loads(await orders.readline())
    live = [Token(*token) for token in stolen["live"]]
    older = [Token(*token) for token in stolen["older"]]
    # A connection for each request: the server closes idle ones after a second, and that must not meet a webhook.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        nothing = Token("CA" + "0" * 32, "")
        loot = Loot(
            port=stolen["port"],
            account_sid=ACCOUNT,
            handshake_signature=sign("wss://" + ORIGIN.partition("://")[2] + "/ws/twilio"),
            overheard_webhook=webhook(live[0].call_sid),
            used_token=live[0],
            unused_token=nothing,
            flood_token=nothing,
            clump_token=nothing,
            older_token=older[-1] if older else nothing,
        )
        loot = replace(loot, unused_token=await Gang(loot, [], 0, http).fresh_token())
        gang = Gang(loot, older, stolen["every_s"], http)
        bomb()  # its making takes a while, and so does theirs
        flood_clumps()
        print(json.dumps("ready"), flush=True)
        while line := await orders.readline():
            count: Counter[str] = Counter()
            attacking = asyncio.create_task(gang.attack(json.loads(line)["names"], count))
            print(json.dumps("begun"), flush=True)
            told = asyncio.create_task(orders.readline())
            await asyncio.wait({attacking, told}, return_when=asyncio.FIRST_COMPLETED)
            if attacking.done():
                told.cancel()
                attacking.result()  # it ends only by a fault
            attacking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await attacking
            print(json.dumps(count), flush=True)


def yield_the_core() -> None:
    """Take only the time that the measuring end leaves, and give way at once when it wakes up."""
    pin_load()
    os.nice(19)
    with contextlib.suppress(PermissionError):  # then the priority has to do
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    yield_the_core()
    run(obey())
