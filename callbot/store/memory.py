"""The store of a single process: dictionaries, bounded, expiring, never waiting."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from callbot.messages import Ending
from callbot.store.protocol import Minted, MintOutcome, Shown, StreamGrant, TokenOutcome

TOKEN_BYTES = 24  # 192 random bits; 128 are enough
REMEMBER_S = 4 * 3600.0  # Twilio's default limit of a call: a replayed webhook older than that names a call that is over
MAX_CALLS = 10_000  # under 1 KB each; only signed webhooks make entries


@dataclass(slots=True)
class _Token:
    text: str = field(repr=False)
    grant: StreamGrant
    expires_s: float
    used: bool = False


@dataclass(slots=True)
class _Call:
    touched_s: float
    tokens: dict[int, _Token] = field(default_factory=dict)
    ending: Ending | None = None
    over: bool = False


class MemoryCallStore:
    """A `CallStore` in this process's memory. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_calls: int = MAX_CALLS) -> None:
        self._clock = clock
        self._max_calls = max_calls
        self._calls: OrderedDict[str, _Call] = OrderedDict()  # least recently touched first
        self._tokens: dict[str, _Token] = {}

    def __len__(self) -> int:
        """How many calls are remembered."""
        return len(self._calls)

    async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
        """See `CallStore.mint`."""
        call = self._touch(grant.call_sid)
        token = call.tokens.get(grant.stream_no)
        if token is None and not call.over:
            token = _Token(secrets.token_urlsafe(TOKEN_BYTES), grant, self._clock() + ttl_s)
            call.tokens[grant.stream_no] = token
            self._tokens[token.text] = token
            return Minted(MintOutcome.FRESH, token.text)
        if token is None or call.over or token.used or self._clock() >= token.expires_s:
            return Minted(MintOutcome.SPENT)
        return Minted(MintOutcome.REPEATED, token.text)

    async def consume(self, token: str, *, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        """See `CallStore.consume`."""
        found = self._tokens.get(token)
        if found is None:
            return Shown(TokenOutcome.UNKNOWN)
        grant = found.grant
        if (grant.call_sid, grant.account_sid, grant.stream_no) != (call_sid, account_sid, stream_no):
            return Shown(TokenOutcome.WRONG_CALL)
        if found.used:
            return Shown(TokenOutcome.USED)
        if self._clock() >= found.expires_s:
            return Shown(TokenOutcome.EXPIRED)
        found.used = True
        self._touch(call_sid).ending = None
        return Shown(TokenOutcome.ACCEPTED, grant)

    def record_ending(self, call_sid: str, ending: Ending) -> None:
        """See `CallStore.record_ending`."""
        self._touch(call_sid).ending = ending

    async def ending(self, call_sid: str) -> Ending | None:
        """See `CallStore.ending`."""
        self._drop_old()
        call = self._calls.get(call_sid)
        return None if call is None else call.ending

    async def forget(self, call_sid: str) -> None:
        """See `CallStore.forget`. What stays is the CallSid, so that a replayed webhook opens nothing."""
        call = self._touch(call_sid)
        self._drop_tokens(call)
        call.ending = None
        call.over = True

    def _touch(self, call_sid: str) -> _Call:
        self._drop_old()
        call = self._calls.get(call_sid)
        if call is None:
            call = self._calls[call_sid] = _Call(self._clock())
        call.touched_s = self._clock()
        self._calls.move_to_end(call_sid)
        while len(self._calls) > self._max_calls:
            self._drop_tokens(self._calls.popitem(last=False)[1])
        return call

    def _drop_old(self) -> None:
        while self._calls:
            call_sid, call = next(iter(self._calls.items()))
            if self._clock() - call.touched_s < REMEMBER_S:
                return
            del self._calls[call_sid]
            self._drop_tokens(call)

    def _drop_tokens(self, call: _Call) -> None:
        for token in call.tokens.values():
            self._tokens.pop(token.text, None)
        call.tokens.clear()
