"""CallActor: one telephone call. It feeds what happens to the machine and carries out what the machine asks for.

It decides nothing: decisions are in `states/`. It owns the children, the timers and the call's memory (the uplink lane,
the transcript); all of it ends with the call. A bug in here leaves through `run` after the summary has been
written: one call dies, the server does not.
"""

import asyncio
from typing import Any, Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.gemini_session import GeminiSession
from callbot.actors.heartbeat import Heartbeat
from callbot.actors.journal import Journal
from callbot.actors.lane import UplinkLane
from callbot.actors.opening import CallOpener, jitter
from callbot.actors.playout import Playout
from callbot.actors.ports import CallFactory, StreamSocket
from callbot.actors.services import CallServices, limits_from, patience_from
from callbot.actors.signs import LifeSigns
from callbot.actors.transcoder import Transcoder
from callbot.actors.transcript import Transcript
from callbot.actors.twilio_io import TwilioIO
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
from callbot.messages import (
    AnswerTool,
    CallMessage,
    Child,
    ChildExited,
    ClearPlayback,
    CloseSession,
    CloseStream,
    DrainRequested,
    DropTurns,
    GeminiSessionMessage,
    Outcome,
    PlayComfort,
    Reason,
    SayText,
    SessionLost,
    SessionReady,
    StreamStarted,
    Timer,
    TimerFired,
    ToolCalled,
    ToolFinished,
    Transcribed,
    TurnCompleted,
    TurnPlayed,
    Watch,
)
from callbot.states import CallMachine, State

# Control messages that arrive in one turn of the loop while one is being handled; a burst of DTMF is fifty a second.
_MAILBOX_SIZE: Final = 4096


class CallActor(Actor[CallMessage]):
    """One call, from `start` to its summary."""

    def __init__(self, started: StreamStarted, socket: StreamSocket, services: CallServices) -> None:
        super().__init__("call", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.FAIL)
        settings = services.settings
        self._started = started
        self._services = services
        self._clock = services.clock
        self._machine = CallMachine(limits_from(settings, len(services.connector.models)))
        self._lane = UplinkLane(cap_s=settings.backlog_s)
        self._signs = LifeSigns(twilio_s=started.at_s, caller_audio_s=started.at_s)
        self._transcript = Transcript(services.redact)
        self._opener = CallOpener(services, started.call_sid, self._transcript)
        playout = Playout(
            lead_ms=settings.playout_lead_ms, mark_every_ms=settings.mark_every_ms, cap_s=settings.playout_queue_s
        )
        self._journal = Journal(
            log=services.log.bind(call_sid=started.call_sid, stream_sid=started.stream_sid),
            metrics=services.metrics,
            signs=self._signs,
            lane=self._lane,
            clock=services.clock,
            began_s=started.at_s,
            log_transcripts=settings.log_transcripts,
            prices_per_min=(settings.price_in_per_min, settings.price_out_per_min),
            playout_ms=lambda: playout.unheard_ms(services.clock()),
            redact=services.redact,
            context={"model": services.connector.models[0], "backend": settings.backend},
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
            lane=self._lane,
            twilio_io=self._twilio_io.tell,
            parent=self.tell,
            upsampler=settings.upsampler,
            downsampler=settings.downsampler,
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
            self._journal.summary(Outcome.FAILED, Reason.CANCELLED if self._failure is None else Reason.CALL_CRASHED)
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
        self._remember(message)
        self._journal.seen(message)
        for effect in self._machine.handle(message):
            self._journal.done(effect)
            self._carry_out(effect)

    # What the machine asks for.

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Tell(message=message):
                self._tell_child(message)
            case StartTimer(name=name, delay_s=delay_s):
                self._start_timer(name, delay_s)
            case StopTimer(name=name):
                self._stop_timer(name)
            case OpenSession():
                self._open_session(effect)
            case Moved(dest=dest):
                self._heartbeat.tell(Watch(self._machine.record.session_no if dest == State.STREAMING else None))
                if dest == State.CLOSED:
                    self._closed.set()
            case DropBacklog():
                self._lane.clear()
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
                pass  # the journal's

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

    def _tell_session(self, message: GeminiSessionMessage) -> None:
        if self._session is not None:
            self._session.tell(message)

    def _tell_transcoder(self, message: Any) -> None:
        self._transcoder.tell(message)

    def _open_session(self, order: OpenSession) -> None:
        self._session = GeminiSession(
            order=order,
            opener=self._opener,
            lane=self._lane,
            signs=self._signs,
            parent=self.tell,
            transcoder=self._transcoder.tell,
            clock=self._clock,
            max_message_ms=self._services.settings.uplink_max_message_ms,
            delay_s=jitter(order.after_s, self._services.random.random),
        )
        self._watch(Child.GEMINI_SESSION, self._session, session_no=order.session_no)

    def _make_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            patience=patience_from(self._services.settings),
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
            self._journal.child_crashed(child, fault)
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

    def _start_timer(self, name: Timer, delay_s: float) -> None:
        self._stop_timer(name)
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(delay_s, self._fire, name)

    def _stop_timer(self, name: Timer) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _fire(self, name: Timer) -> None:
        self._timers.pop(name, None)
        self.tell(TimerFired(name, self._clock()))

    # Memory.

    def _remember(self, message: CallMessage) -> None:
        match message:
            case Transcribed(role=role, text=text):
                self._transcript.add(role, text)
            case TurnCompleted() | SessionReady() | SessionLost():
                self._transcript.end_line()
            case TurnPlayed(cleared=True, audio_ms=audio_ms, heard_ms=heard_ms) if audio_ms:
                self._transcript.cut_last("bot", heard_ms / audio_ms)
            case _:
                pass


def call_factory(services: CallServices) -> CallFactory:
    """Makes calls for the server."""

    def make(started: StreamStarted, socket: StreamSocket) -> CallActor:
        return CallActor(started, socket, services)

    return make
