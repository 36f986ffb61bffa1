"""What is said to Redis: five scripts, each on the one key of its call, each atomic and each safe to be run twice.

redis-py sends a command again when its connection broke, and then it is unknown whether the first one ran. So a claim has a
name of its own, a nonce is proposed, and what is written has a version: whoever asks twice gets the same answer twice, and what
arrives late changes nothing. All of a call is one hash, `callbot:{CallSid}:call`, whose expiry every script sets; the braces
keep it in one slot of a cluster. One question is one round trip.

Loading redis-py takes some 0.4 s of CPU: this module is imported behind the scenes, once the server answers.
"""

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from callbot.messages.terms import Ending
from callbot.store.dialling import raced
from callbot.store.protocol import MintOutcome, TokenOutcome

POOL: Final = 10  # commands take under a millisecond
HEALTH_CHECK_S: Final = 15  # an idle connection is tried before it is used: a firewall may have dropped it
PROBE_KEY: Final = "callbot:probe"
PROBE_MS: Final = 60_000

# In every script KEYS[1] is the call and ARGV[1] its life in ms. Fields: `nonce:N`, `until:N` (Unix time in ms) and `used:N` of
# stream N; `stream`, the newest that owns the call; `ending`, how that one ended; `record`, sealed; `version` of the last
# write; `over`, once the call is.

# ARGV: life, stream_no, nonce, until
_MINT: Final = """
local call, stream_no = KEYS[1], ARGV[2]
local known = redis.call('HMGET', call, 'over', 'stream', 'nonce:' .. stream_no, 'until:' .. stream_no)
if known[1] or tonumber(known[2] or 0) >= tonumber(stream_no) then return {'spent', '', '0'} end
if not known[3] then
  redis.call('HSET', call, 'nonce:' .. stream_no, ARGV[3], 'until:' .. stream_no, ARGV[4])
  known[3], known[4] = ARGV[3], ARGV[4]
end
redis.call('PEXPIRE', call, ARGV[1])
return {known[3] == ARGV[3] and 'fresh' or 'repeated', known[3], known[4]}
"""

# ARGV: life, stream_no, claim
_CLAIM: Final = """
local call, stream_no = KEYS[1], tonumber(ARGV[2])
local known = redis.call('HMGET', call, 'over', 'stream', 'used:' .. ARGV[2])
local newest = tonumber(known[2] or 0)
if known[1] then return 'unknown' end
if newest == stream_no and known[3] == ARGV[3] then return 'accepted' end
if newest >= stream_no then return 'used' end
redis.call('HSET', call, 'used:' .. ARGV[2], ARGV[3], 'stream', ARGV[2])
redis.call('HDEL', call, 'ending', 'version')
redis.call('PEXPIRE', call, ARGV[1])
return 'accepted'
"""

# ARGV: life, stream_no
_LEASE: Final = """
local call, stream_no = KEYS[1], tonumber(ARGV[2])
local known = redis.call('HMGET', call, 'over', 'stream', 'record')
local newest = tonumber(known[2] or 0)
if known[1] or newest > stream_no then return {newest, ''} end
if newest < stream_no then
  redis.call('HSET', call, 'stream', ARGV[2])
  redis.call('HDEL', call, 'ending', 'version')
end
redis.call('PEXPIRE', call, ARGV[1])
return {stream_no, known[3] or ''}
"""

# ARGV: life, stream_no or 0 when it is unknown, version, ending or '', record or ''
_WRITE: Final = """
local call, stream_no, version = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', call, 'over', 'stream', 'version')
local newest = tonumber(known[2] or 0)
if known[1] then return {'over', newest} end
if stream_no > 0 and stream_no < newest then return {'late', newest} end
if stream_no <= newest and known[3] and tonumber(known[3]) > version then return {'written', newest} end
redis.call('HSET', call, 'version', ARGV[3])
if stream_no > newest then redis.call('HSET', call, 'stream', ARGV[2]) end
if ARGV[4] ~= '' then redis.call('HSET', call, 'ending', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', call, 'record', ARGV[5]) end
redis.call('PEXPIRE', call, ARGV[1])
return {known[2] and 'written' or 'created', newest}
"""

# ARGV: life. What stays is that the call is over, so that a replayed webhook opens nothing.
_FORGET: Final = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'over', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""


class StoreFault(Exception):
    """Redis did not answer, or answered with an error or with nonsense. `cause` is one word, and no part of the address."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class WriteOutcome(StrEnum):
    """What a write came to."""

    WRITTEN = "written"
    CREATED = "created"  # Redis knew nothing of the call
    LATE = "late"  # a newer stream owns the call
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a write; `newest` is the stream that owned the call before."""

    outcome: WriteOutcome
    newest: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A call's owner and its record, sealed, empty when there is none."""

    stream_no: int
    record: bytes = field(repr=False)


class RedisLink:
    """The connections to one Redis, or to a Redis Cluster. Everything raises `StoreFault` alone, and within `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float, keep_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._keep_ms = int(keep_s * 1000)
        self._is_known = False  # whether this is a cluster
        # redis-py's own limits would hold a webhook for a minute: 5 s a try, ten tries.
        self._limits: dict[str, Any] = {
            "socket_timeout": timeout_s / 2,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 1),
            "health_check_interval": HEALTH_CHECK_S,
        }
        self._turns = asyncio.Semaphore(POOL)  # a burst waits: redis-py's pools would fail it
        try:
            pool = ConnectionPool.from_url(url, **self._limits)
        except Exception as fault:  # noqa: BLE001 - its text quotes the address, and with it the password
            raise ValueError(f"not an address of Redis ({type(fault).__name__})") from None
        pool.connection_class = raced(pool.connection_class)
        self._redis: Redis | RedisCluster = Redis.from_pool(pool)

    async def mint(self, call_sid: str, stream_no: int, nonce: str, until_s: float) -> tuple[MintOutcome, str, float]:
        """The stream's nonce and expiry (Unix time), these when it has none; both are empty when it is spent."""
        told = (stream_no, nonce, round(until_s * 1000))
        return await self._run(_MINT, call_sid, *told, read=lambda a: (MintOutcome(_text(a[0])), _text(a[1]), int(a[2]) / 1000))

    async def claim(self, call_sid: str, stream_no: int, claim: str) -> TokenOutcome:
        """Use the stream's token up under the name `claim`, which makes the stream the call's owner."""
        return await self._run(_CLAIM, call_sid, stream_no, claim, read=lambda answer: TokenOutcome(_text(answer)))

    async def lease(self, call_sid: str, stream_no: int) -> Kept:
        """Make the stream the call's owner, unless a newer one is: who owns it now, and its record when that is this stream."""
        return await self._run(_LEASE, call_sid, stream_no, read=lambda a: Kept(_number(a[0]), _bytes(a[1])))

    async def write(self, call_sid: str, stream_no: int, version: int, ending: Ending | None, record: bytes) -> Written:
        """What stream `stream_no` leaves; 0 when it is unknown which. Of two writes of a stream the higher version stays."""
        told = (stream_no, version, ending or "", record)
        return await self._run(_WRITE, call_sid, *told, read=lambda a: Written(WriteOutcome(_text(a[0])), _number(a[1])))

    async def forget(self, call_sid: str) -> None:
        """The call is over."""
        await self._run(_FORGET, call_sid, read=_number)

    async def ending(self, call_sid: str) -> Ending | None:
        """How the newest stream ended."""
        return await self._within(
            lambda: self._redis.execute_command("HGET", _key(call_sid), "ending"),
            lambda answer: None if answer is None else Ending(_text(answer)),
        )

    async def load(self, call_sid: str) -> Kept:
        """The call's owner, 0 when there is none, and its record."""
        return await self._within(
            lambda: self._redis.execute_command("HMGET", _key(call_sid), "stream", "record"),
            lambda answer: Kept(int(answer[0] or 0), _bytes(answer[1] or b"")),
        )

    async def probe(self) -> None:
        """Returns once Redis has taken a write; finds out the first time whether it is a cluster."""
        if not self._is_known:
            await self._within(self._find_out, lambda _: None)
        await self._within(lambda: self._redis.execute_command("SET", PROBE_KEY, "1", "PX", PROBE_MS), _right)

    async def close(self) -> None:
        """Close the connections."""
        await self._within(self._redis.aclose, lambda _: None)

    async def _find_out(self) -> None:
        try:
            told = await self._redis.execute_command("INFO", "cluster")
        except ResponseError as refusal:
            if not str(refusal).startswith(("NOPERM", "unknown command", "User ")):
                raise
            told = {}  # who may not ask is taken at the address's word
        if int(told.get("cluster_enabled", 0)):
            single, self._redis = self._redis, self._cluster()
            await single.aclose()
        self._is_known = True

    def _cluster(self) -> RedisCluster:
        cluster = RedisCluster.from_url(self._url, **self._limits)
        kind = raced(cluster.connection_kwargs["connection_class"])  # it takes none as an option
        cluster.nodes_manager.connection_kwargs["connection_class"] = kind
        for node in cluster.startup_nodes:
            node.connection_class = kind
        return cluster

    async def _run[Answer](
        self, script: str, call_sid: str, *arguments: str | int | bytes, read: Callable[[Any], Answer]
    ) -> Answer:
        told = (1, _key(call_sid), self._keep_ms, *arguments)

        async def ask() -> Any:
            try:
                return await self._redis.execute_command("EVALSHA", _digest(script), *told)
            except NoScriptError:  # the first time, or after a restart
                return await self._redis.execute_command("EVAL", script, *told)

        return await self._within(ask, read)

    async def _within[Answer](self, ask: Callable[[], Awaitable[Any]], read: Callable[[Any], Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                answer = await ask()
        except Exception as fault:  # noqa: BLE001 - redis-py raises what its parser stumbled over, whatever that is
            raise StoreFault(type(fault).__name__) from None  # its text may hold the address with the password
        try:
            return read(answer)
        except Exception:  # noqa: BLE001 - an answer of another kind, whichever
            await self._hang_up()
            raise StoreFault("WrongAnswer") from None

    async def _hang_up(self) -> None:
        """Close the idle connections: what follows a wrong answer on them may belong to an older question."""
        close = self._redis.aclose
        if isinstance(self._redis, Redis):
            close = functools.partial(self._redis.connection_pool.disconnect, inuse_connections=False)
        with contextlib.suppress(Exception):  # what cannot be closed is gone
            async with asyncio.timeout(self._timeout_s):
                await close()


def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _key(call_sid: str) -> str:
    return f"callbot:{{{call_sid}}}:call"


def _bytes(answer: Any) -> bytes:
    if not isinstance(answer, bytes):
        raise TypeError
    return answer


def _text(answer: Any) -> str:
    return _bytes(answer).decode()


def _number(answer: Any) -> int:
    if not isinstance(answer, int):
        raise TypeError
    return answer


def _right(answer: Any) -> None:
    if answer not in {True, b"OK", "OK"}:
        raise ValueError
