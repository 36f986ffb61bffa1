"""What is said to Redis: four scripts, each on the one key of its call, each atomic and each safe to be run twice.

redis-py sends a command again when its connection broke, and then nobody knows whether the first one ran. So a claim has a
name of its own and a nonce is proposed: whoever asks twice gets the same answer twice. All of a call is one hash,
`callbot:{CallSid}:call`, whose expiry every script sets; the braces keep it in one slot of a cluster. Times are Redis' own,
because the clocks of several machines differ.

Loading redis-py takes some 0.4 s of CPU: this module is imported behind the scenes, once the server answers.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from callbot.messages import Ending
from callbot.store.protocol import MintOutcome, StreamGrant, TokenOutcome

POOL: Final = 10  # commands take under a millisecond
HEALTH_CHECK_S: Final = 15  # an idle connection is tried before it is used: a firewall may have dropped it

# In every script KEYS[1] is the call and ARGV[1] its life in ms. Fields: `nonce:N`, `until:N`, `account:N`, `caller:N` and
# `used:N` of stream N; `stream`, the newest that was let in; `ending`, how that one ended; `over`, once the call is.
_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

# ARGV: life, stream_no, nonce, token's life in ms, account, caller
_MINT: Final = (
    _NOW
    + """
local call, stream_no = KEYS[1], ARGV[2]
local known = redis.call('HMGET', call, 'over', 'stream', 'nonce:' .. stream_no, 'until:' .. stream_no, 'used:' .. stream_no)
redis.call('PEXPIRE', call, ARGV[1])
if known[1] or (known[2] and tonumber(known[2]) >= tonumber(stream_no)) then return {'spent', ''} end
if not known[3] then
  redis.call('HSET', call, 'nonce:' .. stream_no, ARGV[3], 'until:' .. stream_no, now + ARGV[4],
    'account:' .. stream_no, ARGV[5], 'caller:' .. stream_no, ARGV[6])
  redis.call('PEXPIRE', call, ARGV[1])
  return {'fresh', ARGV[3]}
end
if known[5] or now >= tonumber(known[4]) then return {'spent', ''} end
if known[3] == ARGV[3] then return {'fresh', known[3]} end
return {'repeated', known[3]}
"""
)

# ARGV: life, stream_no, nonce, account, claim
_CLAIM: Final = (
    _NOW
    + """
local call, stream_no = KEYS[1], ARGV[2]
local known = redis.call('HMGET', call, 'nonce:' .. stream_no, 'account:' .. stream_no, 'used:' .. stream_no,
  'until:' .. stream_no, 'stream', 'caller:' .. stream_no)
if not known[1] or known[1] ~= ARGV[3] then return {'unknown', ''} end
if known[2] ~= ARGV[4] then return {'wrong_call', ''} end
if known[3] == ARGV[5] then return {'accepted', known[6]} end
if known[3] or (known[5] and tonumber(known[5]) > tonumber(stream_no)) then return {'used', ''} end
if now >= tonumber(known[4]) then return {'expired', ''} end
redis.call('HSET', call, 'used:' .. stream_no, ARGV[5], 'stream', stream_no)
redis.call('HDEL', call, 'ending')
redis.call('PEXPIRE', call, ARGV[1])
return {'accepted', known[6]}
"""
)

# ARGV: life, stream_no or 0, ending or ''. What an older stream than the newest says comes too late.
_NOTE: Final = """
local call = KEYS[1]
local known = redis.call('HMGET', call, 'over', 'stream')
local newest, stream_no = tonumber(known[2] or 0), tonumber(ARGV[2])
if known[1] or (stream_no > 0 and stream_no < newest) then return 0 end
if stream_no > newest then redis.call('HSET', call, 'stream', stream_no) end
if ARGV[3] ~= '' then redis.call('HSET', call, 'ending', ARGV[3]) end
redis.call('PEXPIRE', call, ARGV[1])
return 1
"""

# ARGV: life. What stays is that the call is over, so that a replayed webhook opens nothing.
_FORGET: Final = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'over', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""


class StoreFault(Exception):
    """Redis did not answer, or answered with an error. `cause` is one word without an address in it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class RedisLink:
    """The connections to one Redis. Everything raises `StoreFault`, and within `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float, keep_s: float) -> None:
        self._timeout_s = timeout_s
        self._keep_ms = int(keep_s * 1000)
        # redis-py's own limits would hold a webhook for a minute: 5 s a try, ten tries.
        pool = BlockingConnectionPool.from_url(  # the other kind fails a burst instead of letting it wait
            url,
            socket_timeout=timeout_s / 2,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
            health_check_interval=HEALTH_CHECK_S,
            max_connections=POOL,
            timeout=timeout_s,
        )
        self._redis = Redis.from_pool(pool)
        self._mint = self._redis.register_script(_MINT)
        self._claim = self._redis.register_script(_CLAIM)
        self._note = self._redis.register_script(_NOTE)
        self._forget = self._redis.register_script(_FORGET)

    async def mint(self, grant: StreamGrant, nonce: str, ttl_s: float) -> tuple[MintOutcome, str]:
        """The stream's nonce, this one when it has none."""
        ttl_ms = int(ttl_s * 1000)
        told = (grant.stream_no, nonce, ttl_ms, grant.account_sid, grant.caller)
        outcome, kept = await self._run(self._mint, grant.call_sid, *told)
        return MintOutcome(outcome.decode()), kept.decode()

    async def claim(self, call_sid: str, account_sid: str, stream_no: int, nonce: str, claim: str) -> tuple[TokenOutcome, str]:
        """Use the stream's token up under the name `claim`; the second value is the caller."""
        outcome, caller = await self._run(self._claim, call_sid, stream_no, nonce, account_sid, claim)
        return TokenOutcome(outcome.decode()), caller.decode()

    async def note(self, call_sid: str, stream_no: int, ending: Ending | None) -> None:
        """How stream `stream_no` ended, or only that there is one; 0 when nobody knows which."""
        await self._run(self._note, call_sid, stream_no, ending or "")

    async def forget(self, call_sid: str) -> None:
        """The call is over."""
        await self._run(self._forget, call_sid)

    async def ending(self, call_sid: str) -> Ending | None:
        """How the newest stream ended."""
        said = await self._within(self._redis.hget(_key(call_sid), "ending"))
        return None if said is None else Ending(said.decode())

    async def ping(self) -> None:
        """Returns when Redis answers."""
        await self._within(self._redis.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, script: Any, call_sid: str, *arguments: str | int) -> Any:
        return await self._within(script(keys=[_key(call_sid)], args=[self._keep_ms, *arguments]))

    async def _within(self, asking: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await cast("Awaitable[Any]", asking)
        except (RedisError, OSError, TimeoutError) as fault:
            raise StoreFault(type(fault).__name__) from None  # its text may hold the address with the password


def _key(call_sid: str) -> str:
    return f"callbot:{{{call_sid}}}:call"
