"""What keeping conversations costs Redis: `python -m bench.store`, with the Valkey of the development lock.

Calls are played at once, each of their minutes in a second: turns of the caller and the model, a record saved at the end of
every line and at every handle, none left out. The server's own counters say what arrived. The figures are per call-minute and
do not depend on the machine; the times of a question are this machine's.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from redis_server import RedisServer, redis_server

from callbot.conversation import Conversation, Handle
from callbot.messages.terms import Role
from callbot.store.protocol import StreamGrant
from callbot.store.redis import RedisCallStore

TURNS_A_MINUTE = 6
LINE = "so the train at half past nine would be fine, but can I bring the bicycle along on that one, too? "
TALKED_MIN = (1, 5, 15)
HANDLE_BYTES = 64


class Played:
    """A call that is talked in: one record after the other."""

    def __init__(self, number: int) -> None:
        self.talk = Conversation(
            f"CA{number:032x}", "AC" + "a" * 32, caller="+14158675310", called="+14155550100", greeted=True
        )

    def next_records(self) -> list[bytes]:
        """What one turn saves: the caller's line, the model's, the handle that follows."""
        records = []
        for role in (Role.CALLER, Role.BOT):
            self.talk = self.talk.add_words(role, LINE).end_line()
            records.append(self.talk.to_bytes())
        self.talk = self.talk.__replace__(handle=Handle(os.urandom(HANDLE_BYTES // 2).hex(), "model", time.time()))
        records.append(self.talk.to_bytes())
        return records


def counters(server: RedisServer) -> dict[str, int]:
    """Scripts run, bytes in and out, and memory, as the server counts them."""
    sections = ("stats", "memory", "commandstats")
    told = dict(line.split(b":", 1) for section in sections for line in server.ask("INFO", section) if b":" in line)
    names = ("total_net_input_bytes", "total_net_output_bytes", "used_memory_dataset")
    scripts = told.get(b"cmdstat_evalsha", b"calls=0,")
    return {name: int(told[name.encode()]) for name in names} | {"scripts": int(scripts[6 : scripts.index(b",")])}


async def play(server: RedisServer, calls: int, minutes: int) -> None:
    """Play `calls` calls of `minutes` minutes and print what they cost."""
    async with asyncio.TaskGroup() as tasks:
        store = RedisCallStore(server.url, ["secret"], log=structlog.get_logger(), timeout_s=20)
        store.start(tasks)
        played = [Played(number) for number in range(calls)]
        for each in played:
            grant = StreamGrant(each.talk.call_sid, each.talk.account_sid, 1)
            token = (await store.mint(grant, 60)).token
            await store.consume(token, call_sid=grant.call_sid, account_sid=grant.account_sid, stream_no=1)
        print(f"\n{'after':>8} {'record':>9} {'questions':>10} {'bytes in':>9} {'bytes out':>10} {'kept':>9}")
        print(f"{'':>8} {'':>9} {'----- a call and minute -----':>31} {'a call':>9}")
        for minute in range(1, minutes + 1):
            before = counters(server)
            for _ in range(TURNS_A_MINUTE):
                for each in played:
                    for record in each.next_records():
                        store.save(each.talk.call_sid, 1, record)
                        await store._write_next(time.monotonic() + 60)  # a minute passes in a second: none is left out
            after = counters(server)
            cost = {name: (after[name] - before[name]) / calls for name in after}
            if minute in TALKED_MIN or minute == minutes:
                size = len(played[0].talk.to_bytes())
                print(
                    f"{minute:>4} min {size:>7} B {cost['scripts']:>10.1f}"
                    f" {cost['total_net_input_bytes'] / 1000:>6.1f} kB {cost['total_net_output_bytes'] / 1000:>7.1f} kB"
                    f" {after['used_memory_dataset'] / calls / 1000:>6.1f} kB"
                )
        times_ms = []
        for each in played * 3:
            began_s = time.perf_counter()
            await store.load(each.talk.call_sid)
            times_ms.append((time.perf_counter() - began_s) * 1000)
        print(
            f"\na question, one at a time: p50 {statistics.median(times_ms):.2f} ms, "
            f"p99 {statistics.quantiles(times_ms, n=100)[98]:.2f} ms"
        )
        await store.stop()


def main() -> None:
    """Read the options and play."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=15)
    options = parser.parse_args()
    with redis_server() as server:
        asyncio.run(play(server, options.calls, options.minutes))


if __name__ == "__main__":
    main()
