"""What the model says: a brain gets a prompt and returns the steps of one turn.

A brain is shared by all sessions and keeps nothing about any of them; what a conversation has been is in the
`Conversation` it is handed, which survives a resumption. Audio in a prompt is 16 kHz, audio to say 24 kHz, both
16-bit little-endian mono.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .resumption import Conversation
from .voice import murmur, repeat_to, to_model_rate, tone


@dataclass(frozen=True, slots=True)
class Say:
    """Speak `pcm` (24 kHz); `transcript` goes out in fragments along with it."""

    pcm: bytes
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class Think:
    """A thought part: text with `thought` true, not to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Write:
    """A text part that is not a thought, beside the audio or instead of it."""

    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing for a while."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function call. `id` None leaves the id out, as Vertex sometimes does; "" lets the stand-in choose."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = ""


@dataclass(frozen=True, slots=True)
class CallTools:
    """Call functions. `blocking` True waits for all answers; None follows the declaration and the model."""

    calls: tuple[ToolCall, ...]
    blocking: bool | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Complete the turn so far with this interactionStatus, then go on: what extended thinking does."""

    interaction_status: str = "IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Raw:
    """Send this message exactly as it is, text or bytes."""

    body: bytes | str


type Step = Say | Think | Write | Wait | CallTools | Status | Raw


@dataclass(frozen=True, slots=True)
class Prompt:
    """Why the model is asked to speak.

    `audio`: the caller has finished an utterance (`pcm` at 16 kHz). `text`: realtimeInput.text. `content`:
    clientContent with turnComplete. `tool`: answers to NON_BLOCKING calls (in `tool_responses`).
    """

    kind: Literal["audio", "text", "content", "tool"]
    pcm: bytes = b""
    text: str = ""
    tool_responses: tuple[Mapping[str, Any], ...] = ()


class Brain(Protocol):
    """Decides what a turn says."""

    def answer(self, prompt: Prompt, conversation: Conversation) -> Sequence[Step] | None:
        """Return the steps of the turn; None stays silent, an empty sequence is a turn with no content."""
        ...


@dataclass(frozen=True, slots=True)
class Parrot:
    """Greets when written to, and says back what it heard.

    `greeting` is 24 kHz PCM (default: a murmur). An answer is `lead` (24 kHz PCM) and the caller's own audio times
    `gain`, repeated until it lasts `min_answer_s`: a talkative parrot is one that can be interrupted.
    """

    greeting: bytes | None = None
    greeting_text: str = "hello, I am the parrot, say something"
    lead: bytes = b""
    gain: float = 0.9
    min_answer_s: float = 0.0

    def answer(self, prompt: Prompt, conversation: Conversation) -> Sequence[Step] | None:
        """Return the greeting or the echo."""
        if prompt.kind == "audio":
            spoken_ms = len(prompt.pcm) // 32
            said = repeat_to(to_model_rate(prompt.pcm, gain=self.gain), self.min_answer_s)
            return [Say(self.lead + said, f"you spoke for {spoken_ms} milliseconds")]
        if prompt.kind == "tool":
            return [Say(tone(660.0, 0.3), "the tool has answered")]
        if conversation.greeted:
            return [Say(tone(440.0, 0.3), "I am still here")]
        conversation.greeted = True
        return [Say(murmur() if self.greeting is None else self.greeting, self.greeting_text)]


@dataclass(frozen=True, slots=True)
class ScriptedBrain:
    """Plays the given turns in order, one for each prompt of a conversation, and then stays silent.

    With `repeat` it starts again at the end.
    """

    turns: Sequence[Sequence[Step]]
    repeat: bool = False

    def answer(self, prompt: Prompt, conversation: Conversation) -> Sequence[Step] | None:  # noqa: ARG002
        """Return the next turn of the script."""
        index = conversation.turns_begun
        if self.repeat and self.turns:
            index %= len(self.turns)
        return self.turns[index] if index < len(self.turns) else None


def extended_thinking(fillers: Sequence[Say], answer: Say, *, work_s: float = 0.0) -> tuple[Step, ...]:
    """Return a turn as the extended-thinking model makes it: each filler completes a turn IN_PROGRESS.

    Behind each filler the model works for `work_s` in silence; the answer completes the last turn, with IDLE.
    """
    steps: list[Step] = []
    for filler in fillers:
        steps += [filler, Status("IN_PROGRESS"), Wait(work_s)]
    return (*steps, answer, Status("IDLE"))
