"""The store of a single process: dictionaries, bounded, expiring, never waiting."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from callbot.messages.terms import Ending
from callbot.store.protocol import Lease, Minted, MintOutcome, Shown, StreamGrant, TokenOutcome
from callbot.store.tokens import StreamTokens, TokenParts

REMEMBER_S = 4 * 3600.0  # Twilio's default limit of a call: a replayed webhook older than that names a call that is over
MAX_CALLS = 10_000  # under 1 KB each without their records; only signed webhooks make entries
MAX_RECORDS_BYTES = 64 << 20  # of all calls together; beyond it the call that was idle longest loses its record


@dataclass(slots=True)
class _Token:
    text: str = field(repr=False)
    expires_s: float  # of the monotonic clock


@dataclass(slots=True)
class _Call:
    touched_s: float
    tokens: dict[int, _Token] = field(default_factory=dict)
    stream_no: int = 0  # of the newest stream that was let in
    ending: Ending | None = None
    record: bytes | None = field(default=None, repr=False)
    over: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """What is known here of a call."""

    call_sid: str
    stream_no: int
    ending: Ending | None
    over: bool


class MemoryCallStore:
    """A `CallStore` in this process's memory. `clock` gives monotonic seconds, `wall_clock` Unix time.

    Tokens are made with `secret_texts`: a stream whose webhook went to another process with the same secret is let in.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        secret_texts: Sequence[str] = (),
        *,
        max_calls: int = MAX_CALLS,
        max_records_bytes: int = MAX_RECORDS_BYTES,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._tokens = StreamTokens(secret_texts)
        self._max_calls = max_calls
        self._max_records_bytes = max_records_bytes
        self._records_bytes = 0
        self._calls: OrderedDict[str, _Call] = OrderedDict()  # least recently touched first

    def __len__(self) -> int:
        """How many calls are remembered."""
        return len(self._calls)

    # --- tokens --------------------------------------------------------------------------------------------------------

    async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
        """See `CallStore.mint`."""
        call = self._touch(grant.call_sid)
        token = call.tokens.get(grant.stream_no)
        if call.over or call.stream_no >= grant.stream_no:
            return Minted(MintOutcome.SPENT)
        if token is None:
            text = self._tokens.text(grant, self._wall_clock() + ttl_s, self._tokens.new_nonce())
            call.tokens[grant.stream_no] = _Token(text, self._clock() + ttl_s)
            return Minted(MintOutcome.FRESH, text)
        if self._clock() >= token.expires_s:
            return Minted(MintOutcome.SPENT)
        return Minted(MintOutcome.REPEATED, token.text)

    def remember(self, grant: StreamGrant, token: str, left_s: float) -> None:
        """The token of this stream was made elsewhere: `mint` repeats it while it is good."""
        self._touch(grant.call_sid).tokens.setdefault(grant.stream_no, _Token(token, self._clock() + left_s))

    async def consume(self, token: str, *, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        """See `CallStore.consume`."""
        parts = self._tokens.read(token)
        refusal = self.refusal(parts, token, call_sid=call_sid, account_sid=account_sid, stream_no=stream_no)
        if refusal is not None or parts is None:
            return Shown(refusal or TokenOutcome.UNKNOWN)
        self.let_in(call_sid, stream_no)
        return Shown(TokenOutcome.ACCEPTED, parts.grant)

    def refusal(
        self, parts: TokenParts | None, token: str, *, call_sid: str, account_sid: str, stream_no: int
    ) -> TokenOutcome | None:
        """Why the token, which says `parts`, does not open this stream here; None when it does."""
        if parts is None:
            return TokenOutcome.UNKNOWN
        grant = parts.grant
        if (grant.call_sid, grant.account_sid, grant.stream_no) != (call_sid, account_sid, stream_no):
            return TokenOutcome.WRONG_CALL
        self._drop_old()
        call = self._calls.get(call_sid)
        if call is not None and call.over:
            return TokenOutcome.UNKNOWN
        if call is not None and call.stream_no >= stream_no:
            return TokenOutcome.USED
        minted = None if call is None else call.tokens.get(stream_no)
        if minted is not None and minted.text == token:  # this process's own clock counts, which nothing sets
            return TokenOutcome.EXPIRED if self._clock() >= minted.expires_s else None
        return TokenOutcome.EXPIRED if self._wall_clock() >= parts.expires_s else None

    def let_in(self, call_sid: str, stream_no: int) -> bool:
        """This stream owns its call from now on; False when it, or a newer one, did already."""
        call = self._touch(call_sid)
        if call.over or call.stream_no >= stream_no:
            return False
        call.stream_no = stream_no
        call.ending = None
        return True

    # --- what a stream leaves ------------------------------------------------------------------------------------------

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
        call.tokens.clear()
        self._set_record(call, None)
        call.ending = None
        call.over = True

    async def load(self, call_sid: str) -> bytes | None:
        """See `ConversationStore.load`."""
        self._drop_old()
        call = self._calls.get(call_sid)
        return None if call is None else call.record

    def save(self, call_sid: str, stream_no: int, record: bytes) -> bool:
        """See `ConversationStore.save`; whether it was kept."""
        call = self._touch(call_sid)
        if call.over or stream_no < call.stream_no:
            return False
        call.stream_no = stream_no
        self._set_record(call, record)
        for idle in self._calls.values():  # this call is the last
            if self._records_bytes <= self._max_records_bytes:
                break
            self._set_record(idle, None)
        return True

    async def lease(self, call_sid: str, stream_no: int) -> Lease:
        """See `ConversationStore.lease`."""
        self.let_in(call_sid, stream_no)
        call = self._calls[call_sid]
        held = not call.over and call.stream_no == stream_no
        return Lease(held, call.record if held else None)

    def stream_no(self, call_sid: str) -> int:
        """The number of the newest stream that was let in here; 0 when there is none."""
        call = self._calls.get(call_sid)
        return 0 if call is None else call.stream_no

    def owned(self) -> list[Owned]:
        """Every call that a stream was let in for here, or that is over; the calls touched last come first."""
        calls = reversed(self._calls.items())
        return [Owned(sid, call.stream_no, call.ending, call.over) for sid, call in calls if call.stream_no or call.over]

    def overtaken(self, call_sid: str, newest: int) -> None:
        """Stream `newest` owns the call elsewhere; what is here is old."""
        call = self._touch(call_sid)
        call.stream_no = max(call.stream_no, newest)
        call.ending = None
        self._set_record(call, None)

    # --- bounds --------------------------------------------------------------------------------------------------------

    def _touch(self, call_sid: str) -> _Call:
        self._drop_old()
        call = self._calls.get(call_sid)
        if call is None:
            call = self._calls[call_sid] = _Call(self._clock())
        call.touched_s = self._clock()
        self._calls.move_to_end(call_sid)
        while len(self._calls) > self._max_calls:
            self._set_record(self._calls.popitem(last=False)[1], None)
        return call

    def _drop_old(self) -> None:
        while self._calls:
            call_sid, call = next(iter(self._calls.items()))
            if self._clock() - call.touched_s < REMEMBER_S:
                return
            del self._calls[call_sid]
            self._set_record(call, None)

    def _set_record(self, call: _Call, record: bytes | None) -> None:
        self._records_bytes += len(record or b"") - len(call.record or b"")
        call.record = record
