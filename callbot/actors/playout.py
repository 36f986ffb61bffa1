"""The playout: what is queued for the caller, how far Twilio is ahead, and what has been heard. Pure, no clock of its own.

Twilio plays what it is sent in order and in real time, so the end of its queue is known to within the network's delay.
Frames go out until that queue is `lead_ms` ahead. Marks, named by turn and index, come back when what was sent before them
has been played, or at once when it was cleared: only a mark without a clear in between says "heard".
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

from callbot.audio.g711 import FRAME_BYTES
from callbot.wire.twilio import mark_name

_MS_PER_BYTE = 0.125  # 8000 bytes a second
_MESSAGE_BYTES = 5 * FRAME_BYTES  # 100 ms: fewer messages under load, none of them long
_FRAME_S = FRAME_BYTES / 8000
_ROUNDING_S = 1e-5  # a tenth of a sample: what is left of a clock's sums must not count as room for a frame
_REFILL_BYTES = 3 * FRAME_BYTES  # with the lead used up, wake for 60 ms at a time, not for every frame
COMFORT_TURN = 0  # sound that belongs to no turn
# A mark that is so late after its sound must have ended will not come: Twilio lost it, or the line is gone.
MARK_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Media:
    """Send these frames; then, when `mark` is named, that mark."""

    turn: int
    mulaw: bytes
    mark: str | None
    first_of_turn: bool
    resumes: bool  # the playout had been empty


@dataclass(frozen=True, slots=True)
class Mark:
    """Send this mark alone: the turn's end."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Send `clear`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send for so long."""

    delay_s: float


Outgoing = Media | Mark | Clear | Wait | None


@dataclass(frozen=True, slots=True)
class FirstHeard:
    """Twilio has begun to play the turn; it began `lag_s` before its mark came back."""

    turn: int
    lag_s: float


@dataclass(frozen=True, slots=True)
class Played:
    """The turn is behind us."""

    turn: int
    audio_ms: int
    heard_ms: int
    cleared: bool


@dataclass(slots=True)
class _Turn:
    queued_bytes: int = 0
    sent_bytes: int = 0
    heard_bytes: int = 0
    marks: int = 0
    marked_bytes: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _Outstanding:
    turn: int
    position_bytes: int
    first: bool
    last: bool
    cleared: bool


class Playout:
    """One stream's outgoing audio. `now_s` is the caller's monotonic clock."""

    def __init__(self, *, lead_ms: int, mark_every_ms: int, cap_s: float) -> None:
        self._lead_s = lead_ms / 1000
        self._mark_every_bytes = mark_every_ms * 8
        self._cap_bytes = int(cap_s * 8000)
        self._queue: deque[tuple[int, bytes]] = deque()
        self._queued_bytes = 0
        self._turns: OrderedDict[int, _Turn] = OrderedDict()
        self._marks: OrderedDict[str, _Outstanding] = OrderedDict()
        self._end_marks: deque[str] = deque()
        self._clear_due = False
        self._dropped_through = 0
        self._ends_at_s = 0.0  # when what Twilio holds will have been played
        self._running = False
        self._mark_count = 0
        self.overflow_ms = 0

    @property
    def unheard(self) -> bool:
        """Whether anything is queued here, or is at Twilio for all that its marks have told."""
        return bool(self._queue) or any(not mark.cleared for mark in self._marks.values())

    def unheard_ms(self, now_s: float) -> int:
        """How much audio the caller has not heard, queued and at Twilio, by the clock."""
        return int(self._queued_bytes * _MS_PER_BYTE + max(0.0, self._ends_at_s - now_s) * 1000)

    @property
    def empty(self) -> bool:
        """Nothing to send and nothing unheard."""
        return not self._queue and not self._clear_due and not self._end_marks and not self.unheard

    def enqueue(self, turn: int, mulaw: bytes) -> bool:
        """Queue whole frames of a turn; False when they are late (the turn was dropped) or there is no room."""
        if turn != COMFORT_TURN and turn <= self._dropped_through:
            return False
        if self._queued_bytes + len(mulaw) > self._cap_bytes:
            self.overflow_ms += int(len(mulaw) * _MS_PER_BYTE)
            return False
        self._queue.append((turn, mulaw))
        self._queued_bytes += len(mulaw)
        if turn != COMFORT_TURN:
            self._turns.setdefault(turn, _Turn()).queued_bytes += len(mulaw)
        return True

    def end_turn(self, turn: int) -> list[Played]:
        """The turn has no more frames: a last mark will say when it has been heard."""
        state = self._turns.get(turn)
        if state is None or state.ended:
            return []
        state.ended = True
        return self._close_if_sent(turn, state)

    def clear(self, through_turn: int, now_s: float) -> list[Played]:
        """Drop all that is unheard of turns up to `through_turn`, comfort included; a `clear` is due if there was any."""
        self._dropped_through = max(self._dropped_through, through_turn)
        at_twilio_s = max(0.0, self._ends_at_s - now_s)
        keep = deque((turn, mulaw) for turn, mulaw in self._queue if turn > through_turn)
        dropped = len(self._queue) - len(keep)
        if dropped or at_twilio_s or self.unheard:
            self._clear_due = True
        self._queue = keep
        self._queued_bytes = sum(len(mulaw) for _, mulaw in keep)
        self._end_marks.clear()
        self._marks = OrderedDict(
            (name, _Outstanding(m.turn, m.position_bytes, m.first, m.last, cleared=True)) for name, m in self._marks.items()
        )
        played = []
        lost_bytes = int(at_twilio_s * 8000)
        for turn in [turn for turn in self._turns if turn <= through_turn]:
            state = self._turns.pop(turn)
            heard = max(state.heard_bytes, state.sent_bytes - lost_bytes)
            played.append(_played(turn, state, heard, cleared=True))
        self._ends_at_s = now_s
        return played

    def next(self, now_s: float) -> Outgoing:
        """What to send now; None when there is nothing. What it returns counts as sent."""
        if self._clear_due:
            self._clear_due = False
            return Clear()
        if self._end_marks:  # they follow audio that has been sent already, and come before the next turn's
            return Mark(self._end_marks.popleft())
        lead_s = self._ends_at_s - now_s
        if not self._queue:
            if self.unheard:
                return Wait(max(0.0, lead_s) + MARK_GRACE_S)
            return Wait(lead_s) if lead_s > _ROUNDING_S else None  # no mark behind it: the clock has to tell
        if max(0.0, lead_s) + _FRAME_S > self._lead_s + _ROUNDING_S:
            return Wait(lead_s - self._lead_s + min(_REFILL_BYTES, self._queued_bytes) / 8000)
        return self._media(now_s)

    def mark_returned(self, name: str) -> list[FirstHeard | Played]:
        """A mark has come back: what it tells. Empty for a mark that was cleared or is not ours."""
        mark = self._marks.pop(name, None)
        if mark is None or mark.cleared:
            return []
        state = self._turns.get(mark.turn)
        if state is None:
            return []
        told: list[FirstHeard | Played] = []
        state.heard_bytes = max(state.heard_bytes, mark.position_bytes)
        if mark.first:
            told.append(FirstHeard(mark.turn, mark.position_bytes / 8000))
        if mark.last and mark.position_bytes >= state.queued_bytes:  # else more of the turn has come behind its end
            del self._turns[mark.turn]
            told.append(_played(mark.turn, state, state.heard_bytes, cleared=False))
        return told

    def give_up_marks(self, now_s: float) -> list[Played]:
        """Stop waiting for marks whose time is long over; what they stood for counts as not heard."""
        if self._queue or now_s < self._ends_at_s + MARK_GRACE_S:
            return []
        self._marks.clear()
        ended = [turn for turn, state in self._turns.items() if state.ended]
        return [_played(turn, state, state.heard_bytes, cleared=False) for turn in ended if (state := self._turns.pop(turn))]

    def _media(self, now_s: float) -> Media:
        turn, mulaw = self._queue.popleft()
        room_s = self._lead_s - max(0.0, self._ends_at_s - now_s) + _ROUNDING_S  # a frame at least, or it would be waited
        limit = min(_MESSAGE_BYTES, int(room_s * 8000) // FRAME_BYTES * FRAME_BYTES)
        while len(mulaw) < limit and self._queue and self._queue[0][0] == turn:
            mulaw += self._queue.popleft()[1]
        if len(mulaw) > limit:
            self._queue.appendleft((turn, mulaw[limit:]))
            mulaw = mulaw[:limit]
        self._queued_bytes -= len(mulaw)
        self._ends_at_s = max(self._ends_at_s, now_s) + len(mulaw) / 8000
        resumes, self._running = not self._running, True
        if turn == COMFORT_TURN:
            return Media(turn, mulaw, self._new_mark(turn, len(mulaw)), first_of_turn=False, resumes=resumes)
        state = self._turns[turn]
        first = state.sent_bytes == 0
        state.sent_bytes += len(mulaw)
        mark = None
        if first or state.sent_bytes - state.marked_bytes >= self._mark_every_bytes:
            mark = self._new_mark(turn, state.sent_bytes, first=first)
            state.marked_bytes = state.sent_bytes
        self._close_if_sent(turn, state)
        return Media(turn, mulaw, mark, first_of_turn=first, resumes=resumes)

    def note_empty(self, now_s: float) -> bool:
        """Whether the playout has just run empty, by its marks and by the clock; True once, until audio is sent again."""
        if not self._running or not self.empty or self._ends_at_s > now_s + _ROUNDING_S:
            return False
        self._running = False
        return True

    def _close_if_sent(self, turn: int, state: _Turn) -> list[Played]:
        if not state.ended or state.sent_bytes < state.queued_bytes:
            return []
        if state.sent_bytes == 0:
            del self._turns[turn]
            return [_played(turn, state, 0, cleared=False)]
        self._end_marks.append(self._new_mark(turn, state.sent_bytes, last=True))
        return []

    def _new_mark(self, turn: int, position_bytes: int, *, first: bool = False, last: bool = False) -> str:
        self._mark_count += 1
        name = mark_name(turn, self._mark_count)
        self._marks[name] = _Outstanding(turn, position_bytes, first, last, cleared=False)
        return name


def _played(turn: int, state: _Turn, heard_bytes: int, *, cleared: bool) -> Played:
    return Played(
        turn=turn,
        audio_ms=int(state.queued_bytes * _MS_PER_BYTE),
        heard_ms=int(min(heard_bytes, state.queued_bytes) * _MS_PER_BYTE),
        cleared=cleared,
    )
