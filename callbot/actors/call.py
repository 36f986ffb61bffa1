"""CallActor: one telephone call. It feeds what happens to the machine and carries out what the machine asks for.

It decides nothing: decisions are in `states/`. It owns the children, the timers and the uplink; all of it ends with the
stream. The conversation is what stays: the call is given one at its start and leaves it at its end.
A bug in here leaves through `run` after the summary has been
written: one call dies, the server does not.
"""

import asyncio
from typing import Any, Final, assert_never

from callbot.actors.base import Actor, Overflow
from callbot.actors.call_log import CallLog
from callbot.actors.gemini_session import GeminiSession
from callbot.actors.heartbeat import Heartbeat
from callbot.actors.playout import Playout
from callbot.actors.ports import CallFactory, StreamSocket
from callbot.actors.services import CallServices
from callbot.actors.signs import LifeSigns
from callbot.actors.transcoder import Transcoder
from callbot.actors.twilio_io import TwilioIO
from callbot.actors.uplink import Uplink
from callbot.conversation import Conversation, SaidLine
from callbot.effects import (
    CancelChildren,
    CancelTools,
    DropBacklog,
    Effect,
    Moved,
    OpenSession,
    RecordEnding,
    Report,
    RestartChild,
    RunTool,
    StartTimer,
    StopChildren,
    StopTimer,
    Tell,
)
from callbot.gemini.session_config import SessionOrder
from callbot.messages.call import CallMessage, ChildExited, DrainRequested, StreamStarted, TimerFired, ToolFinished
from callbot.messages.children import (
    AnswerTool,
    ClearPlayback,
    CloseSession,
    CloseStream,
    DropTurns,
    GeminiSessionMessage,
    PlayComfort,
    SayText,
    TranscoderMessage,
    Watch,
)
from callbot.messages.session import ToolCalled
from callbot.messages.terms import Child, Outcome, Plan, Timer
from callbot.states import CallMachine, State

# Control messages that arrive in one turn of the loop while one is being handled; a burst of DTMF is fifty a second.
_MAILBOX_SIZE: Final = 4096


class CallActor(Actor[CallMessage]):
    """One call, from `start` to its summary."""

    def __init__(self, started: StreamStarted, socket: StreamSocket, services: CallServices) -> None:
        super().__init__("call", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.FAIL)
        self._started = started
        self._services = services
        self._clock = services.clock
        conversation = services.conversations.take(started.call_sid) or _begun(started, services)
        brief = conversation.brief
        self._machine = CallMachine(conversation)
        self._uplink = Uplink(cap_s=brief.audio.backlog_s)
        self._signs = LifeSigns(twilio_s=started.at_s, caller_audio_s=started.at_s)
        playout = Playout(
            lead_ms=brief.audio.playout_lead_ms,
            mark_every_ms=brief.audio.mark_every_ms,
            cap_s=brief.audio.playout_queue_s,
        )
        self._call_log = CallLog(
            log=services.log.bind(call_sid=started.call_sid, stream_sid=started.stream_sid),
            metrics=services.metrics,
            signs=self._signs,
            uplink=self._uplink,
            clock=services.clock,
            began_s=started.at_s,
            log_transcripts=services.log_transcripts,
            prices=brief.prices,
            playout_ms=lambda: playout.unheard_ms(services.clock()),
            redact=services.redact,
            context={"model": brief.models[conversation.model_index], "backend": services.backend},
        )
        self._twilio_io = TwilioIO(
            socket=socket,
            stream_sid=started.stream_sid,
            playout=playout,
            signs=self._signs,
            parent=self.tell,
            transcoder=self._tell_transcoder,
            clock=services.clock,
        )
        self._transcoder = Transcoder(
            uplink=self._uplink,
            twilio_io=self._twilio_io.tell,
            parent=self.tell,
            upsampler=brief.audio.upsampler,
            downsampler=brief.audio.downsampler,
        )
        self._heartbeat = self._make_heartbeat()
        self._session: GeminiSession | None = None
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._children: asyncio.TaskGroup | None = None
        self._watches: dict[asyncio.Task[None], Child] = {}
        self._tools: dict[str, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    @property
    def state(self) -> State:
        """The machine's state."""
        return self._machine.state

    def request_drain(self) -> None:
        """The process will stop: end in order, soon."""
        self.tell(DrainRequested(self._clock()))

    async def run(self) -> None:
        """Carry the call to its end; raises only on a bug in the call itself, after its summary has been written."""
        try:
            await super().run()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            # Written already, but for a crash or a cancellation from above.
            self._call_log.summary(Outcome.FAILED, "cancelled" if self._failure is None else "call_crashed")
            self._services.conversations.leave(self._machine.record.conversation)
            # They know their parent: circles, and what a call leaves would be the collector's, 1 to 13 ms in the others' way.
            del self._twilio_io, self._transcoder, self._heartbeat, self._session

    async def live(self) -> None:
        """Run the children until the machine is closed."""
        async with asyncio.TaskGroup() as self._children:
            self._watch(Child.TWILIO_IO, self._twilio_io)
            self._watch(Child.TRANSCODER, self._transcoder)
            self._watch(Child.HEARTBEAT, self._heartbeat)
            self.tell(self._started)
            await self._closed.wait()
            self._cancel_children()

    def _handle_early(self) -> None:
        """Not yet: `start` comes first, and right behind it what was told before the call ran."""

    def handle(self, message: CallMessage) -> None:
        """Feed the machine, carry out its effects."""
        self._call_log.seen(message)
        for effect in self._machine.handle(message):
            self._call_log.done(effect)
            self._carry_out(effect)

    # What the machine asks for.

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Tell(message=message):
                self._tell_child(message)
            case StartTimer(timer=timer, due_s=due_s):
                self._start_timer(timer, due_s)
            case StopTimer(timer=timer):
                self._stop_timer(timer)
            case OpenSession():
                self._open_session(effect)
            case Moved(dest=dest):
                self._heartbeat.tell(Watch(self._machine.record.session_no if dest == State.STREAMING else None))
                if dest == State.CLOSED:
                    self._closed.set()
            case DropBacklog():
                self._uplink.clear()
            case RunTool(call=call):
                self._run_tool(call)
            case CancelTools(call_ids=call_ids):
                for call_id in call_ids:
                    if (task := self._tools.pop(call_id, None)) is not None:
                        task.cancel()
            case RestartChild():
                self._heartbeat = self._make_heartbeat()
                self._watch(Child.HEARTBEAT, self._heartbeat)
                self._heartbeat.tell(Watch(self._machine.record.session_no if self.state is State.STREAMING else None))
            case StopChildren():
                self._transcoder.stop()
                self._heartbeat.stop()
                for task in self._tools.values():
                    task.cancel()
            case CancelChildren():
                self._cancel_children()
            case RecordEnding(ending=ending):
                self._services.record_ending(self._started.call_sid, ending)
            case Report():
                pass  # the log's
            case _:
                assert_never(effect)

    def _tell_child(
        self,
        message: SayText | AnswerTool | CloseSession | DropTurns | ClearPlayback | PlayComfort | CloseStream,
    ) -> None:
        match message:
            case SayText() | AnswerTool() | CloseSession():
                self._tell_session(message)
            case DropTurns():
                self._transcoder.tell(message)
            case ClearPlayback() | PlayComfort() | CloseStream():
                self._twilio_io.tell(message)
            case _:
                assert_never(message)

    def _tell_session(self, message: GeminiSessionMessage) -> None:
        if self._session is not None:
            self._session.tell(message)

    def _tell_transcoder(self, message: TranscoderMessage) -> None:
        self._transcoder.tell(message)

    def _open_session(self, opening: OpenSession) -> None:
        conversation, redact = self._machine.record.conversation, self._services.redact
        lines = conversation.lines if opening.plan is Plan.HISTORY else ()
        self._session = GeminiSession(
            opening=opening,
            order=SessionOrder(
                call_sid=conversation.call_sid,
                brief=conversation.brief,
                model_index=opening.model_index,
                handle=opening.handle,
                history=tuple(SaidLine(line.role, redact(line.text)) for line in lines if line.text.strip()),
                is_first=conversation.sessions == 1,
                without=opening.without,
            ),
            opener=self._services.opener,
            uplink=self._uplink,
            signs=self._signs,
            parent=self.tell,
            transcoder=self._transcoder.tell,
            clock=self._clock,
            wall_clock=self._services.wall_clock,
            max_message_ms=conversation.brief.audio.uplink_max_message_ms,
            # Full delay down to half of it: calls that lost the same service do not come back in step.
            delay_s=max(opening.least_s, opening.after_s * (0.5 + 0.5 * self._services.random.random())),
        )
        self._watch(Child.GEMINI_SESSION, self._session, session_no=opening.session_no)

    def _make_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            patience=self._machine.record.conversation.brief.patience,
            signs=self._signs,
            parent=self.tell,
            session=self._tell_session,
            clock=self._clock,
        )

    # Children.

    def _watch(self, child: Child, actor: Actor[Any], *, session_no: int = 0) -> None:
        if self._children is None:  # nothing can be started before `live`, nor is it asked for
            raise RuntimeError(f"{child.value} was to be started before the call runs")
        task = self._children.create_task(self._run_child(child, actor, session_no), name=f"call.{child.value}")
        self._watches[task] = child
        task.add_done_callback(self._watches.pop)

    async def _run_child(self, child: Child, actor: Actor[Any], session_no: int) -> None:
        """Run one child; its end, in whatever way, is a message."""
        error: str | None = None
        try:
            await actor.run()
        except Exception as fault:  # noqa: BLE001 - the supervised boundary: the state decides what a child's death means
            self._call_log.child_crashed(child, fault)
            error = f"{type(fault).__name__}: {fault}"[:200]
        self.tell(ChildExited(child, session_no, error, self._clock()))

    def _cancel_children(self) -> None:
        for task in [*self._watches, *self._tools.values()]:
            task.cancel()

    # Tools.

    def _run_tool(self, call: ToolCalled) -> None:
        if self._children is not None:
            self._tools[call.call_id] = self._children.create_task(self._answer(call), name=f"call.tool.{call.name[:40]}")

    async def _answer(self, call: ToolCalled) -> None:
        outcome = await self._services.toolbox.run(call.name, call.arguments)
        self._tools.pop(call.call_id, None)
        self.tell(ToolFinished(call.session_no, call.call_id, call.name, outcome.result, outcome.ends_call, self._clock()))

    # Timers.

    def _start_timer(self, timer: Timer, due_s: float) -> None:
        self._stop_timer(timer)
        delay_s = max(0.0, due_s - self._clock())
        self._timers[timer] = asyncio.get_running_loop().call_later(delay_s, self._fire, timer, due_s)

    def _stop_timer(self, timer: Timer) -> None:
        if (running := self._timers.pop(timer, None)) is not None:
            running.cancel()

    def _fire(self, timer: Timer, due_s: float) -> None:
        self._timers.pop(timer, None)
        self.tell(TimerFired(timer, due_s, self._clock()))


def _begun(started: StreamStarted, services: CallServices) -> Conversation:
    """A conversation that begins with this stream."""
    return Conversation(
        call_sid=started.call_sid,
        account_sid=started.account_sid,
        caller=started.caller,
        brief=services.brief,
        started_s=services.wall_clock(),
    )


def call_factory(services: CallServices) -> CallFactory:
    """Makes calls for the server."""

    def make(started: StreamStarted, socket: StreamSocket) -> CallActor:
        return CallActor(started, socket, services)

    return make
