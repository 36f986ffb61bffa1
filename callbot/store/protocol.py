"""What the server asks of a store of calls; memory answers at once, a shared store over its network.

A call is known by its CallSid, a stream by CallSid and its number. A token belongs to one stream and opens it once. Everything
in a store is bounded in number and expires by itself. Rules from the field, with their reports: a repeated webhook gets the
same unused token and never a fresh one (openclaw/openclaw#87497), a token is compared with CallSid and account
(openclaw/openclaw#136506) and is not usable again after its stream has gone (openclaw/openclaw#134753).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from callbot.messages.terms import Ending


class MintOutcome(StrEnum):
    """What asking for a stream's token came to."""

    FRESH = "fresh"  # the first time that this stream was asked for
    REPEATED = "repeated"  # the same webhook again: the same token, still unused
    SPENT = "spent"  # the stream's token was used, has expired, or the call is over: there is none


class TokenOutcome(StrEnum):
    """What showing a token came to."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"  # made with another secret, or the call is over
    EXPIRED = "expired"
    USED = "used"  # or a newer stream of the call was let in
    WRONG_CALL = "wrong_call"  # of another call, account or stream_no; the token stays good for its own


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """What a token stands for. `caller` is masked: no store sees a caller's number."""

    call_sid: str
    account_sid: str
    stream_no: int
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Minted:
    """A token for one stream; empty when the outcome is SPENT."""

    outcome: MintOutcome
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer to a token that was shown; `grant` only when it was accepted."""

    outcome: TokenOutcome
    grant: StreamGrant | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The answer to a stream that takes its call over: whether it is the newest, and the call's record as it was left."""

    held: bool
    record: bytes | None = field(default=None, repr=False)


class ConversationStore(Protocol):
    """The record of each call: bytes that the store does not read. The number of a stream is its fencing number.

    The newest stream of a call owns the record. A stream that was let in with its token, or that took the lease, is at once
    the owner; from then on the store refuses what older streams save.
    """

    async def load(self, call_sid: str) -> bytes | None:
        """The call's newest record; None when nothing is known of it, or the call is over."""
        ...

    def save(self, call_sid: str, stream_no: int, record: bytes) -> bool:
        """Keep `record`; False when it is refused, because a newer stream is known to own the call, or the call is over.

        Never waits and never raises: a shared store writes behind, and may refuse later.
        """
        ...

    async def lease(self, call_sid: str, stream_no: int) -> Lease:
        """Make this stream the owner and give it the record; not held when a newer stream is the owner, or the call is over."""
        ...


class CallStore(ConversationStore, Protocol):
    """Tokens, endings and records of calls."""

    async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
        """The token of the stream that `grant` describes, good for `ttl_s` seconds from the first request on."""
        ...

    async def consume(self, token: str, *, call_sid: str, account_sid: str, stream_no: int) -> Shown:
        """Use `token` up for this stream. Of two that show it at once exactly one is accepted.

        Accepting forgets the ending of the stream before: from here on an instance that dies leaves no ending.
        """
        ...

    def record_ending(self, call_sid: str, ending: Ending) -> None:
        """Remember how the stream ended. Never waits: a shared store writes behind. Fits `EndingRecorder`."""
        ...

    async def ending(self, call_sid: str) -> Ending | None:
        """How the call's last stream ended; None when it left no word, which is how a dead instance looks."""
        ...

    async def forget(self, call_sid: str) -> None:
        """The call is over: drop what is known of it, and mint no more tokens for it."""
        ...
