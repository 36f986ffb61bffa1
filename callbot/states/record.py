"""What the machine knows of one call: a frozen record that every step replaces, and how an event is noticed in its regions."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from callbot.brief import Limits
from callbot.conversation import Conversation, Handle, ToolEntry, ToolStatus
from callbot.effects import Effect
from callbot.messages.call import CallMessage, ChildExited, KeyPressed, StreamStarted, ToolFinished, TurnPlayed
from callbot.messages.session import (
    HandleRenewed,
    ModelInterrupted,
    SessionLost,
    SessionReady,
    ToolCalled,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnStarted,
)
from callbot.messages.terms import Child, Ending, Outcome, Plan
from callbot.states.regions import floor as floors
from callbot.states.regions import goodbye as goodbyes
from callbot.states.regions import idle as idles
from callbot.states.regions import keys as keys_region
from callbot.states.regions import outage as outages
from callbot.states.regions import playback as playbacks
from callbot.states.regions import session as sessions
from callbot.states.regions import turn as turns
from callbot.states.regions import wait as waits
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Floor, Nobody
from callbot.states.regions.goodbye import Goodbye, NoGoodbye
from callbot.states.regions.idle import Idle
from callbot.states.regions.keys import Keys, NoKeys
from callbot.states.regions.outage import Outage
from callbot.states.regions.playback import Playback, Playing, Silent
from callbot.states.regions.session import Closing, NoSession, Open, Session
from callbot.states.regions.turn import Quiet, Turn
from callbot.states.regions.wait import NotWaiting, Wait


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


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ends: why, in one word, and what Twilio is to be answered when it asks what comes next."""

    reason: str
    outcome: Outcome = Outcome.COMPLETED
    ending: Ending = Ending.HANG_UP


@dataclass(frozen=True, slots=True)
class CallRecord:
    """Everything that a state decides by. Holds no clock and no object that lives; times are of the loop's clock."""

    conversation: Conversation
    session: Session = field(default_factory=NoSession)
    outage: Outage = field(default_factory=Outage)
    turn: Turn = field(default_factory=Quiet)
    playback: Playback = field(default_factory=Silent)
    floor: Floor = field(default_factory=Nobody)
    goodbye: Goodbye = field(default_factory=NoGoodbye)
    wait: Wait = field(default_factory=NotWaiting)
    keys: Keys = field(default_factory=NoKeys)
    idle: Idle = field(default_factory=Idle)
    now_s: float = 0.0  # the newest event's time
    began_s: float = 0.0  # when the stream started
    entered_s: float = 0.0  # when the state in force was entered
    lost_s: float = 0.0  # when the last session was lost, or told to close
    plan: Plan = Plan.NEW  # how the newest session was opened
    without: frozenset[str] = frozenset()  # parts of the set-up that the model in use has refused by name
    children: frozenset[Child] = frozenset()
    restarts: int = 0  # crashes of children so far
    finishing: bool = False  # the stream has been told to close
    end: End | None = None

    @property
    def limits(self) -> Limits:
        """The numbers of the call's brief."""
        return self.conversation.brief.limits

    @property
    def session_no(self) -> int:
        """The newest session's number."""
        return self.conversation.sessions

    @property
    def is_settled(self) -> bool:
        """Whether a session can be moved without anybody noticing: nothing said, played, asked or computed."""
        return (
            not turns.is_generating(self.turn)
            and isinstance(self.playback, Silent)
            and isinstance(self.floor, Nobody)
            and isinstance(self.keys, NoKeys)
            and not self.conversation.tools_running
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One state's answer to one event."""

    record: CallRecord
    effects: tuple[Effect, ...] = ()
    trigger: Trigger | None = None
    reason: str = ""


def advance(record: CallRecord, event: CallMessage) -> CallRecord:
    """The record with the event noticed in every region; the state decides afterwards."""
    limits = record.limits
    now_s = max(record.now_s, getattr(event, "at_s", record.now_s))
    ended = isinstance(event, SessionLost) or (isinstance(event, ChildExited) and event.child is Child.GEMINI_SESSION)
    ended = ended and sessions.is_of(record.session, event.session_no)  # type: ignore[union-attr]  # both have one
    greets = not record.conversation.greeted and bool(record.conversation.brief.greeting)
    playing = isinstance(record.playback, Playing)
    after = replace(
        record,
        now_s=now_s,
        session=sessions.advance(record.session, event, limits),
        outage=outages.advance(record.outage, event, record.session, limits, owed=floors.is_owed(record.floor)),
        turn=turns.advance(record.turn, event, ended=ended),
        playback=playbacks.advance(record.playback, event),
        floor=floors.advance(
            record.floor,
            event,
            limits=limits,
            turn=record.turn,
            playback=record.playback,
            has_session=isinstance(record.session, Open),
            ended=ended,
            lost_s=record.lost_s,
            greets=greets,
        ),
        goodbye=goodbyes.advance(
            record.goodbye,
            event,
            limits=limits,
            saying=playing or turns.is_generating(record.turn),
            is_void=_is_void(record.conversation, event),
        ),
        keys=keys_region.advance(record.keys, event, limits),
        idle=idles.advance(record.idle, event, playing=playing),
        conversation=remember(record, event),
        lost_s=now_s if ended and not isinstance(record.session, Closing) else record.lost_s,
    )
    return notice_wait(after, event)


def notice_wait(record: CallRecord, event: CallMessage | None = None) -> CallRecord:
    """The record with the caller's waiting as it is after all else."""
    return replace(record, wait=waits.advance(record.wait, event, waits=_waits(record), at_s=record.now_s))


def _waits(record: CallRecord) -> bool:
    """Whether the caller waits to hear something: for a session, an answer, or the rest of one."""
    if not isinstance(record.goodbye, NoGoodbye):
        return False
    if not isinstance(record.session, Open):
        return True
    if isinstance(record.floor, CallerSpeaking):
        return False
    gap = isinstance(record.turn, turns.Speaking) and record.playback == Silent(
        getattr(record.playback, "since_s", 0.0), record.turn.turn
    )
    return isinstance(record.floor, AnswerDue) or isinstance(record.turn, turns.Working) or gap


def _is_void(conversation: Conversation, event: CallMessage) -> bool:
    """Whether a tool that finishes may have no effect on the call: unknown, answered already, or of an interrupted turn."""
    if not isinstance(event, ToolFinished):
        return False
    entry = conversation.tool(event.call_id)
    return entry is None or entry.interrupted or entry.status is not ToolStatus.RUNNING


def remember(record: CallRecord, event: CallMessage) -> Conversation:
    """The conversation with what the event tells of it."""
    conversation = record.conversation
    match event:
        case StreamStarted():
            return replace(conversation, streams=max(conversation.streams + 1, event.stream_no), ending=None)
        case HandleRenewed(session_no=session_no, handle=value, unix_s=unix_s):
            # Vertex calls every update resumable, in mid-answer too: what is resumed from there has lost the answer.
            busy = turns.is_generating(record.turn) or conversation.tools_running
            if busy or not sessions.is_of(record.session, session_no):
                return conversation
            model = conversation.brief.models[conversation.model_index]
            return replace(conversation, handle=Handle(value, model, unix_s))
        case Transcribed(role=role, text=text):
            return conversation.add_words(role, text)
        case TurnStarted(turn=turn):
            return replace(conversation, turns=max(conversation.turns, turn))
        case TurnAudible():
            return replace(conversation, greeted=True) if not conversation.greeted else conversation
        case TurnCompleted(turn=turn):
            return replace(conversation.end_line(), completed_turn=max(conversation.completed_turn, turn))
        case SessionReady() | SessionLost():
            return conversation.end_line()
        case TurnPlayed(cleared=True, audio_ms=audio_ms, heard_ms=heard_ms) if audio_ms:
            return conversation.cut_last_line(heard_ms / audio_ms)
        case ModelInterrupted():
            return conversation.interrupt_tools()
        case KeyPressed(digit=digit):
            return conversation.add_key(digit)
        case ToolCalled(session_no=session_no) if isinstance(record.session, Open) and record.session.session_no == session_no:
            entry = ToolEntry(event.call_id, event.name, event.turn, session_no, dict(event.arguments))
            return conversation.open_tool(entry)
        case ToolFinished(call_id=call_id, result=result):
            entry_now = conversation.tool(call_id)
            if entry_now is None or entry_now.status is not ToolStatus.RUNNING:
                return conversation
            return conversation.set_tool(call_id, status=ToolStatus.FINISHED, result=result)
        case ToolsCancelled(call_ids=call_ids):
            for call_id in call_ids:
                conversation = conversation.set_tool(call_id, status=ToolStatus.ANSWERED)
            return conversation
        case _:
            return conversation
