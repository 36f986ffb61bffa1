"""The model's side of a session: one turn after another, in the order of the service, and their interruption.

A turn is: input transcription, audio with output transcription, generationComplete, a pause for the playback,
turnComplete with usage, a resumption update. An interrupted turn ends with `interrupted`, the cancellation of its
open tool calls and turnComplete; it has no generationComplete.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed

from . import messages
from .brains import CallTools, Prompt, Raw, Say, Status, Step, Think, Wait, Write
from .records import TurnRecord
from .session_base import SessionBase
from .triggers import ModelAudio, OnGenerationComplete, OnInterrupted, OnToolCall, OnTurnComplete

# On Vertex the output transcription runs ahead of the audio; how far is not known, three times is enough to notice.
_VERTEX_LEAD = 3.0


class TurnInterruptedError(Exception):
    """A turn was interrupted by something that happened inside it."""


@dataclass(slots=True)
class _OpenCall:
    turn: TurnRecord
    name: str
    blocking: bool
    answered: asyncio.Future[None]


class Turns:
    """Plays turns one at a time; later ones wait."""

    def __init__(self, session: SessionBase) -> None:
        self._session = session
        self._options = session.server.options
        self._waiting: deque[tuple[str, Sequence[Step], str]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._calls: dict[str, _OpenCall] = {}
        self._results: list[Mapping[str, Any]] = []  # answers to be spoken about when idle
        self._playback_end_s = 0.0
        self.current: TurnRecord | None = None
        self.caller_speaks = False  # kept by the listener: while the caller speaks no turn begins
        self._has_status = False
        self._text_only = False

    # ---- asking and interrupting ---------------------------------------------------------------------------

    @property
    def is_generating(self) -> bool:
        """Whether a turn is running and has not been completed."""
        return self.current is not None and not self.current.complete

    @property
    def is_heard(self) -> bool:
        """Whether there is something to interrupt: a turn, or its assumed playback."""
        return self.is_generating or self._session.clock.now() < self._playback_end_s

    @property
    def open_calls(self) -> list[str]:
        """Ids of the tool calls that have not been answered."""
        return list(self._calls)

    def ask(self, prompt: Prompt, heard: str = "") -> bool:
        """Let the brain answer a prompt; False if it stays silent. `heard` is the input transcription to send."""
        conversation = self._session.conversation
        steps = self._options.brain.answer(prompt, conversation)
        if steps is None:
            return False
        self.begin(prompt.kind, steps, heard)
        return True

    def begin(self, prompt: str, steps: Sequence[Step], heard: str = "") -> None:
        """Play these steps as a turn, after those that are waiting."""
        self._session.conversation.turns_begun += 1
        self._waiting.append((prompt, steps, heard))
        self.start_next()

    def start_next(self) -> None:
        """Start the next waiting turn if nothing speaks."""
        if self.current is not None or self.caller_speaks:
            return
        if not self._waiting and self._results:
            results, self._results = tuple(self._results), []
            self.ask(Prompt("tool", tool_responses=results))
        elif self._waiting:
            prompt, steps, heard = self._waiting.popleft()
            record = TurnRecord(len(self._session.turns) + 1, prompt)
            self._session.turns.append(record)
            self.current = record
            self._task = self._session.spawn(self._run, record, steps, heard)

    def drop_waiting(self) -> None:
        """Forget answers to the caller that have not begun; he has gone on speaking."""
        self._waiting = deque(turn for turn in self._waiting if turn[0] != "audio")

    async def interrupt(self) -> None:
        """Stop the running turn, or what is assumed to be still playing; with neither, just say `interrupted`."""
        record = self.current
        if record is None or record.complete:
            await self._wind_up(None)
        elif self._task is asyncio.current_task():
            raise TurnInterruptedError
        else:
            assert self._task is not None
            self._task.cancel()
            await self._wind_up(record)
            self._over()

    # ---- one turn ------------------------------------------------------------------------------------------

    async def _run(self, record: TurnRecord, steps: Sequence[Step], heard: str) -> None:
        try:
            try:
                await self._play(record, steps, heard)
            except TurnInterruptedError:
                await self._wind_up(record)
        except ConnectionClosed:
            return  # the reader sees it too and ends the session
        self._over()

    def _over(self) -> None:
        self.current = self._task = None
        self._session.changed()
        self.start_next()

    async def _play(self, record: TurnRecord, steps: Sequence[Step], heard: str) -> None:
        session, late = self._session, self._options.late_input_transcription
        self._has_status = session.asked.extended
        self._text_only = session.text_only_turns > 0
        session.text_only_turns = max(0, session.text_only_turns - 1)
        if not late:
            await self._transcribe_input(heard)
        await self.offer_handle(generating=True)
        await session.clock.sleep(self._options.answer_delay_s)
        status = "IDLE"
        for index, step in enumerate(steps):
            if isinstance(step, Status):
                status = step.interaction_status
                self._has_status = True
                if index < len(steps) - 1:
                    await self._complete(record, status, last=False)
            else:
                await self._step(record, step)
        await self._complete(record, status, last=True)
        if late:
            await self._transcribe_input(heard)
        if record.transcript:
            session.conversation.transcript.append(("model", record.transcript))
        await self.offer_handle(generating=False)

    async def _step(self, record: TurnRecord, step: Step) -> None:
        match step:
            case Say():
                await self._say(record, step)
            case Think(text):
                record.thought_characters += len(text)
                await self._session.outbox.send("audio", messages.thought(text))
            case Write(text):
                await self._session.outbox.send("audio", messages.text(text))
            case Wait(delay_s):
                await self._session.clock.sleep(delay_s)
            case CallTools():
                await self._call(record, step)
            case Raw(body):
                await self._session.send_raw(body)
            case Status():
                raise AssertionError("a status ends a part of the turn and is no step of its own")

    async def _say(self, record: TurnRecord, step: Say) -> None:
        session, clock = self._session, self._session.clock
        if self._text_only:
            await session.outbox.send("audio", messages.text(step.transcript or "I answer in writing."))
            return
        words = messages.fragments(step.transcript) if session.asked.transcribes_output else []
        lead = _VERTEX_LEAD if session.mode == "vertex" else 1.0
        told, sent, due_s = 0, 0, clock.now()
        for chunk in messages.cut(step.pcm, self._options.chunk_bytes):
            while told < len(words) and told * len(step.pcm) <= sent * lead * len(words):
                await self._transcribe_output(record, words, told)
                told += 1
            if await session.outbox.audio(chunk):
                record.pcm += chunk
                duration_s = len(chunk) / messages.MODEL_BYTES_PER_S
                self._playback_end_s = max(self._playback_end_s, clock.now()) + duration_s
            sent += len(chunk)
            await session.faults.at(ModelAudio, turn=record.number, ms=record.audio_ms)
            due_s += len(chunk) / messages.MODEL_BYTES_PER_S / self._options.burst
            if (delay_s := due_s - clock.now()) > 0:
                await clock.sleep(delay_s)
        for index in range(told, len(words)):
            await self._transcribe_output(record, words, index)

    async def _transcribe_output(self, record: TurnRecord, words: Sequence[str], index: int) -> None:
        fields: dict[str, Any] = {"text": words[index]}
        if self._options.finish_transcriptions and index == len(words) - 1:
            fields["finished"] = True
        if await self._session.outbox.content("outputTranscription", {"outputTranscription": fields}):
            record.transcript += words[index]

    async def _transcribe_input(self, heard: str) -> None:
        if not (heard and self._session.asked.transcribes_input):
            return
        if self._session.asked.rules.transcribes_input_at_once:
            fields: dict[str, Any] = {"text": heard, "finished": True}
            await self._session.outbox.content("inputTranscription", {"inputTranscription": fields})
            return
        words = messages.fragments(heard)
        for index, word in enumerate(words):
            fields = {"text": word}
            if self._options.finish_transcriptions and index == len(words) - 1:
                fields["finished"] = True
            await self._session.outbox.content("inputTranscription", {"inputTranscription": fields})

    async def _complete(self, record: TurnRecord, status: str, *, last: bool) -> None:
        session = self._session
        record.generation_complete = last
        await session.outbox.content("generationComplete", {"generationComplete": True})
        await session.faults.at(OnGenerationComplete, turn=record.number)
        if self._options.delay_turn_complete:
            # What was sent faster than it can be heard is assumed to be playing still.
            await session.clock.sleep(max(0.0, self._playback_end_s - session.clock.now()))
        record.complete = last
        await self._turn_complete(record, status)

    async def _turn_complete(self, record: TurnRecord | None, status: str) -> None:
        session = self._session
        fields: dict[str, Any] = {"turnComplete": True}
        if self._has_status:
            fields["interactionStatus"] = status
        usage = session.count_usage(record)
        if self._options.usage_in_turn_complete:
            message = messages.encode({"serverContent": fields, "usageMetadata": usage})
            await session.outbox.send("turnComplete", message)
        else:
            await session.outbox.content("turnComplete", fields)
            await session.outbox.send("usageMetadata", messages.encode({"usageMetadata": usage}))
        await session.faults.at(OnTurnComplete, turn=record.number if record else 0)

    async def _wind_up(self, record: TurnRecord | None) -> None:
        session = self._session
        session.interruptions += 1
        self._playback_end_s = session.clock.now()
        await session.outbox.content("interrupted", {"interrupted": True})
        await session.faults.at(OnInterrupted)
        if record is not None:
            record.interrupted = record.complete = True
            if record.transcript:
                session.conversation.transcript.append(("model", record.transcript))
            open_ids = [key for key, call in self._calls.items() if call.turn is record]
            if open_ids:
                await self.cancel(open_ids)
        await self._turn_complete(record, "IDLE")
        await self.offer_handle(generating=False)

    # ---- tools ---------------------------------------------------------------------------------------------

    async def _call(self, record: TurnRecord, step: CallTools) -> None:
        session, waits, bodies = self._session, [], []
        for call in step.calls:
            has_id = not (call.id is None or session.omits_call_ids)
            # An id chosen here never repeats in a session.
            key = (has_id and call.id) or f"call-{record.number}-{len(record.calls) + 1}"
            blocking = session.asked.blocks(call.name) if step.blocking is None else step.blocking
            answered = asyncio.get_running_loop().create_future()
            self._calls[key] = _OpenCall(record, call.name, blocking, answered)
            record.calls.append(key)
            if blocking:
                waits.append(answered)
            body: dict[str, Any] = {"name": call.name, "args": dict(call.args)}
            bodies.append({"id": key, **body} if has_id else body)
        await session.outbox.send("toolCall", messages.tool_call(bodies))
        await session.faults.at(OnToolCall)
        if waits and session.asked.rules.completes_at_blocking_call:
            await self._turn_complete(record, "IDLE")
        for answered in waits:
            await answered

    async def cancel(self, ids: Sequence[str]) -> None:
        """Say that these calls are cancelled, whether or not they exist; their answers no longer count."""
        for key in ids:
            self._calls.pop(key, None)
        await self._session.outbox.send("toolCallCancellation", messages.tool_call_cancellation(ids))

    async def respond(self, response: Mapping[str, Any]) -> bool:
        """Take one function response; False if nothing waits for it."""
        key = response.get("id") or self._open_by_name(response.get("name", ""))
        call = self._calls.get(key)
        if call is None:
            return False
        if not response.get("willContinue"):
            del self._calls[key]
            if not call.answered.done():
                call.answered.set_result(None)
        if call.blocking:
            return True
        scheduling = response.get("scheduling") or (response.get("response") or {}).get("scheduling")
        if scheduling != "SILENT":  # WHEN_IDLE is the default
            self._results.append(response)
            if scheduling == "INTERRUPT" and self.is_generating and not self.caller_speaks:
                await self.interrupt()
            self.start_next()
        if not self._calls and self.current is None:
            await self.offer_handle(generating=False)
        return True

    def _open_by_name(self, name: str) -> str:
        return next((key for key, call in self._calls.items() if call.name == name), "")

    async def offer_handle(self, *, generating: bool) -> None:
        """Send a sessionResumptionUpdate, if the client asked for them."""
        session = self._session
        if not session.asked.wants_handles:
            return
        always = session.mode == "vertex" and self._options.vertex_always_resumable
        resumable = (always or not (generating or self._calls)) and not session.never_resumable
        handle = ""
        if resumable:
            handle = session.server.handles.issue(session.conversation, model=session.asked.model, mode=session.mode)
        index = session.messages_received if session.asked.transparent else None
        update = messages.resumption_update(handle, resumable=resumable, index=index)
        if await session.outbox.send("sessionResumptionUpdate", update) and handle:
            session.handles.append(handle)
            session.changed()
