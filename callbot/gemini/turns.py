"""Where the model's turns begin and end: server messages in, numbered turn events out. Pure.

The service numbers nothing, so the book does: a turn begins with its first content and ends with `turnComplete`. After
`interrupted` what still comes of the turn is late and goes nowhere, until the turn is complete; a server that never
completes it is waited for only so long, or the next turn's beginning would be lost.
"""

from typing import Final

from callbot.audio.levels import is_audible_pcm
from callbot.messages.children import ModelAudio, ModelAudioEnded
from callbot.messages.session import (
    AnswerGrounded,
    ModelInterrupted,
    ModelUsage,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
    TurnWorking,
)
from callbot.messages.terms import Role
from callbot.wire.gemini import ModelMessage, Usage

TurnEvent = (
    AnswerGrounded
    | ModelAudio
    | ModelAudioEnded
    | ModelInterrupted
    | ModelUsage
    | Transcribed
    | TurnAudible
    | TurnCompleted
    | TurnGenerated
    | TurnStarted
    | TurnWorking
)

# Chunks that were on their way when the server interrupted come within a round trip; a second is ample.
_LATE_CHUNKS_S: Final = 1.0
# What the converter takes; another rate in a mime type is not believed, the service has only ever used 24 kHz.
_RATES_HZ: Final = frozenset({8_000, 16_000, 24_000, 48_000})
_USUAL_RATE_HZ: Final = 24_000
# The interaction status that says that an answer is still to come. IDLE, its old name REQUIRES_ACTION (google-genai 3.4,
# `types.InteractionStatus`), none, and those that no version has yet say that nothing is.
_STILL_WORKING: Final = frozenset({"IN_PROGRESS"})
# What comes so soon after turnComplete, with nothing said or asked since, is the rest of that turn: 120 ms of audio were seen
# (livekit/agents#6431).
_LATE_REST_S: Final = 1.0


class TurnBook:
    """The turns of one session; the first gets the number `first_turn`."""

    def __init__(self, first_turn: int) -> None:
        self._next_turn = first_turn
        self._turn = 0  # the open one; 0 when none is
        self._newest = first_turn - 1
        self._audible = False
        self._generated = False
        self._generated_s = 0.0
        self._late_until_s: float | None = None  # set by an interruption: what comes before is of the old turn
        self._interrupted = False  # the turnComplete that follows `interrupted` ends nothing
        self._completed_s: float | None = None  # when the newest turn was complete; None once there is something to answer
        self._only_text = False  # parts of text have come, and neither audio nor a call since the last turn's end

    @property
    def turn_of_a_call(self) -> int:
        """The turn that a tool call belongs to: the open one, or the next."""
        return self._turn or self._next_turn

    def asked(self) -> None:
        """The model was given something to answer: what it says next is a turn of its own."""
        self._completed_s = None

    def cut_off(self) -> int:
        """The session has ended: the turn that was open and will get no more audio, 0 when none was."""
        turn, self._turn = self._turn, 0
        return 0 if self._generated else turn

    def feed(self, message: ModelMessage, now_s: float) -> list[TurnEvent]:
        """Everything that one message tells, content first, then flags."""
        events: list[TurnEvent] = []
        if message.input_transcription is not None and message.input_transcription.text:
            self._completed_s = None
            heard = message.input_transcription
            events.append(Transcribed(Role.CALLER, heard.text, self._newest, heard.language))
        if message.tool_calls:
            self._completed_s = None
        self._only_text = (self._only_text or bool(message.text)) and not message.audio and not message.tool_calls
        for part in () if message.interrupted else message.audio:  # nobody is to hear it
            self._add_audio(part.pcm, part.rate_hz, now_s, events)
        if message.output_transcription is not None and message.output_transcription.text and not self._is_late(now_s):
            said = message.output_transcription
            events.append(Transcribed(Role.BOT, said.text, self._turn or self._newest, said.language))
        if message.grounding is not None:
            events.append(AnswerGrounded(message.grounding.queries, message.grounding.sources))
        if message.usage is not None:
            events.append(_usage(message.usage))
        if message.interrupted:
            self._interrupt(now_s, events)
        if message.generation_complete:
            self._generate(now_s, events)
        if message.interaction_status in _STILL_WORKING:
            if message.turn_complete:  # a spoken filler is over; the answer is still being worked on
                self._generate(now_s, events)
                self._turn = 0
            if self._turn == 0:
                events.append(TurnWorking(self._newest, now_s))
        elif message.turn_complete:
            self._complete(message.turn_complete_reason or "", now_s, events)
        return events

    def _is_late(self, now_s: float) -> bool:
        return self._late_until_s is not None and now_s < self._late_until_s

    def _add_audio(self, pcm: bytes, rate_hz: int, now_s: float, events: list[TurnEvent]) -> None:
        if self._is_late(now_s) or not pcm:
            return
        self._late_until_s = None
        self._interrupted = False
        if self._generated and now_s > self._generated_s + _LATE_CHUNKS_S:
            self._turn = 0  # its turnComplete never came: this is the next one
        if self._turn == 0 and self._completed_s is not None and now_s <= self._completed_s + _LATE_REST_S:
            # Its window stays where it is: a model that goes on for longer has begun to say something else.
            self._turn, self._generated, self._generated_s = self._newest, True, self._completed_s
        if self._turn == 0:
            self._turn = self._newest = self._next_turn
            self._next_turn += 1
            self._completed_s = None
            self._audible = self._generated = False
            events.append(TurnStarted(self._turn, now_s))
        if not self._audible and is_audible_pcm(pcm):
            self._audible = True
            events.append(TurnAudible(self._turn, now_s))
        events.append(ModelAudio(self._turn, pcm, rate_hz if rate_hz in _RATES_HZ else _USUAL_RATE_HZ))
        if self._generated:  # audio after generationComplete or turnComplete is still the turn's: play it, and end it again
            if self._completed_s is None:
                self._generated_s = now_s
            events.append(ModelAudioEnded(self._turn))

    def _generate(self, now_s: float, events: list[TurnEvent]) -> None:
        if self._turn and not self._generated:
            self._generated, self._generated_s = True, now_s
            events.append(ModelAudioEnded(self._turn))
            events.append(TurnGenerated(self._turn, self._audible, now_s))

    def _interrupt(self, now_s: float, events: list[TurnEvent]) -> None:
        if self._turn:
            self._late_until_s = now_s + _LATE_CHUNKS_S
        self._turn = 0
        self._interrupted, self._completed_s, self._only_text = True, None, False
        events.append(ModelInterrupted(self._newest, now_s))

    def _complete(self, reason: str, now_s: float, events: list[TurnEvent]) -> None:
        interrupted, self._interrupted, self._late_until_s = self._interrupted, False, None
        if self._turn:
            self._generate(now_s, events)
            events.append(TurnCompleted(self._turn, self._audible, reason, now_s))
            self._completed_s = now_s
        elif not interrupted:
            events.append(TurnCompleted(0, audible=False, reason=reason, at_s=now_s, only_text=self._only_text))
        self._turn = 0
        self._only_text = False


def _usage(usage: Usage) -> ModelUsage:
    return ModelUsage(
        prompt_tokens=usage.prompt_tokens or 0,
        response_tokens=usage.response_tokens or 0,
        thoughts_tokens=usage.thoughts_tokens or 0,
        tool_tokens=usage.tool_tokens or 0,
        cached_tokens=usage.cached_tokens or 0,
        prompt_text_tokens=usage.prompt_by_modality.get("TEXT", 0),
        response_text_tokens=usage.response_by_modality.get("TEXT", 0),
    )
