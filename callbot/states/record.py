"""What the machine knows of one call: a frozen record that every step replaces, never changes."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from callbot.effects import Effect
from callbot.messages import Child, Decision, Ending, Outcome, Plan


class State(StrEnum):
    """The five states of a call, by the names that logs use."""

    CONNECTING = "connecting"  # the stream has started, the model session is opening; the caller's audio is kept
    STREAMING = "streaming"  # audio flows both ways
    RECONNECTING = "reconnecting"  # no model session; the caller's audio is kept
    DRAINING = "draining"  # nothing new starts; what the caller should still hear plays out
    CLOSED = "closed"  # everything released, one summary written


class Trigger(StrEnum):
    """What moves the machine; the table in `machine.py` says from where to where."""

    READY = "ready"
    LOST = "lost"
    MOVE = "move"
    GIVE_UP = "give_up"
    END = "end"
    DRAINED = "drained"


class Session(StrEnum):
    """Where the newest model session stands."""

    NONE = "none"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"  # told to end; `SessionLost` is still to come


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers and words that states need; see `settings.py` for their reasons. Times in seconds."""

    unreachable_s: float = 12.0
    greeting_timeout_s: float = 12.0
    backoff_s: float = 0.25
    backoff_max_s: float = 4.0
    max_tries: int = 12  # sessions that die without a sign of life; the budget in seconds is usually spent before
    comfort_after_s: float = 3.0
    first_audio_s: float = 7.0
    nudge_s: float = 4.0  # so long a nudge is waited for
    resume_nudge_s: float = 1.5  # an answer was due when the session was lost: the new one is asked this soon
    turn_gap_s: float = 4.0
    turn_complete_s: float = 30.0
    max_silent_moves: int = 2
    max_session_s: float = 540.0
    rotation_patience_s: float = 30.0  # a planned rotation waits so long for a settled moment
    go_away_margin_s: float = 2.0
    go_away_unknown_s: float = 5.0  # a goAway whose timeLeft cannot be read: a tenth of what is usual
    max_call_s: float = 3300.0
    caller_silence_s: float = 120.0
    farewell_s: float = 10.0
    goodbye_s: float = 3.0  # a goodbye that has not begun so long after the model asked to end will not come
    stable_s: float = 5.0  # a session that has lived so long is no part of the outage before it
    drain_s: float = 13.0
    word_ms: int = 240  # shorter is a cough or a click: no answer is expected, so none is missed
    keys_s: float = 1.0  # keys pressed within a second of each other are one entry
    max_restarts: int = 3  # crashes of children that a call survives
    models: int = 1
    greeting: str = ""
    nudge: str = "(The caller is waiting for your answer and has heard nothing. Please go on.)"
    resume_nudge: str = (
        "(The line to you was interrupted for a moment. Go on with the conversation: if you were answering, finish briefly; "
        "if you did not hear the caller's last words, ask for them again. Do not greet the caller again.)"
    )


@dataclass(frozen=True, slots=True)
class CallRecord:
    """Everything a state decides by. Holds no clock and no object that lives."""

    limits: Limits = field(default_factory=Limits)
    # the model session
    session_no: int = 0
    plan: Plan = Plan.NEW
    session: Session = Session.NONE
    model_index: int = 0
    handle: str | None = field(default=None, repr=False)
    ready_s: float = 0.0  # when the newest session became ready
    lost_s: float = 0.0  # when the last one was lost, or told to close
    tries: int = 0  # sessions lost since the last sign of life
    opening_failures: int = 0  # of them, those that never became ready with the plan in force
    bad_audio: int = 0
    silent_moves: int = 0
    nudged: bool = False
    moving: str = ""  # why a move is wanted; empty when none is
    after_close: Decision = Decision.RESUME
    # the conversation
    greeted: bool = False
    talked: bool = False
    turn: int = 0
    generating: bool = False
    completion_due: bool = False  # all of the turn was generated, and the service has not said that it is complete
    audible: bool = False  # the newest turn has been, so far
    audible_s: float = 0.0  # when that became certain
    unheard: bool = False
    spoken: int = 0  # the newest turn of which something was sent to the caller
    caller_speaking: bool = False
    answer_due: bool = False
    spoke_in_gap: bool = False  # the caller said a word or more while there was no session: the next one will hear it
    comforting: bool = False  # the comfort timer runs: the caller waits to hear something
    hang_up_due: bool = False
    tools: frozenset[str] = frozenset()
    keys: str = ""
    # the end
    children: frozenset[Child] = frozenset()
    restarts: int = 0
    finishing: bool = False
    ending: Ending = Ending.HANG_UP
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""

    def but(self, **changes: Any) -> Self:
        """The record with these fields replaced."""
        return replace(self, **changes)

    @property
    def settled(self) -> bool:
        """Whether a session can be moved without anybody noticing: nothing said, played, asked or computed."""
        return not (self.generating or self.unheard or self.tools or self.caller_speaking or self.answer_due or self.keys)


@dataclass(frozen=True, slots=True)
class Step:
    """One state's answer to one event."""

    record: CallRecord
    effects: tuple[Effect, ...] = ()
    trigger: Trigger | None = None
    reason: str = ""
