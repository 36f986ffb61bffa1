"""How much of something may come: messages of a stream and calls of a caller in a time, JSON in its depth."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

MINUTE_S = 60.0
MAX_CALLERS = 10_000  # callers remembered for a minute; the oldest is forgotten first
# What a silent line has earned: after a dead path of 10 s come 500 frames at once, 750 may. A stream earns from its acceptance
# on, more than speech needs, so that a stall of ours is earned, too; what it is given is half a second. (With 75 each flood
# had a call begun for it, 17 ms of the processor.)
BURST_S = 10.0
HEAD_START_MESSAGES = 25

# Pings and pongs of a stream. Nothing tells of pings of Twilio's; a library's keepalive is one in 20 s.
CONTROL_FRAMES_PER_S = 2.0
CONTROL_FRAMES_AT_ONCE = 20

_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_deeper(text: str, limit: int) -> bool:
    """Whether JSON text opens more than `limit` objects and arrays within one another.

    What is no JSON and has more than `limit` brackets that do not close counts as deep, too. Every step runs at C's speed:
    64 KiB of brackets take a few milliseconds.
    """
    if text.count("{") + text.count("[") <= limit:  # all that a healthy message costs
        return False
    unescaped = text.replace("\\\\", "").replace('\\"', "")
    outside_strings = "".join(unescaped.split('"')[::2])
    brackets = outside_strings.encode("utf-8", "surrogatepass").translate(_ONE_KIND, _NO_BRACKET)
    if b"[" * (limit + 1) in brackets:
        return True
    for _ in range(limit):  # each round takes the innermost level away
        brackets = brackets.replace(b"[]", b"")
    return b"[" in brackets


class MessageLimits:
    """What every WebSocket message is held to, before anything looks into it."""

    __slots__ = ("_max_bytes", "_max_json_depth")

    def __init__(self, max_bytes: int, max_json_depth: int) -> None:
        self._max_bytes = max_bytes
        self._max_json_depth = max_json_depth

    def fault_of(self, message: str | bytes) -> str | None:
        """The reason to refuse it, `oversize` or `too_deep`; None when it is within the limits."""
        if _size(message) > self._max_bytes:
            return "oversize"
        return "too_deep" if isinstance(message, str) and is_deeper(message, self._max_json_depth) else None


def _size(message: str | bytes) -> int:
    """In bytes as they came; Hypercorn counts text in characters."""
    if isinstance(message, str) and not message.isascii():
        return len(message.encode("utf-8", "surrogatepass"))
    return len(message)


class TokenBucket:
    """Lets `rate_per_s` through for ever, and at once what `burst` allows after a pause; `left` of that from the beginning."""

    __slots__ = ("_at_s", "_burst", "_clock", "_left", "_rate_per_s")

    def __init__(
        self, rate_per_s: float, burst: float, clock: Callable[[], float] = time.monotonic, *, left: float | None = None
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left = burst if left is None else left
        self._clock = clock
        self._at_s = clock()

    @property
    def left(self) -> float:
        """How many may pass now, one after the other."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        return self._left

    def give(self) -> None:
        """One more may pass: we asked for it."""
        self._left += 1

    def take(self) -> bool:
        """Whether one more may pass now."""
        if self.left < 1:
            return False
        self._left -= 1
        return True


def stream_bucket(max_messages_per_s: float, clock: Callable[[], float] = time.monotonic) -> TokenBucket:
    """What a stream may send that is accepted now."""
    burst = max_messages_per_s * BURST_S
    # `connected` and `start` come besides.
    return TokenBucket(max_messages_per_s, burst, clock, left=min(burst, HEAD_START_MESSAGES + 2))


class CallerRate:
    """Calls of one caller in any minute; a repeated webhook of a call counts once. It is not asked about withheld callers."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, *, max_callers: int = MAX_CALLERS) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._max_callers = max_callers
        self._recent: OrderedDict[str, deque[tuple[float, str]]] = OrderedDict()

    def admit(self, caller: str, call_sid: str) -> bool:
        """Whether this call may come in; counts it when it may."""
        now_s = self._clock()
        calls = self._recent.setdefault(caller, deque())
        self._recent.move_to_end(caller)
        while len(self._recent) > self._max_callers:
            self._recent.popitem(last=False)
        while calls and now_s - calls[0][0] >= MINUTE_S:
            calls.popleft()
        if any(known == call_sid for _, known in calls):
            return True
        if len(calls) >= self._per_minute:
            return False
        calls.append((now_s, call_sid))
        return True
