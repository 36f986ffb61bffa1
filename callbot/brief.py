"""How one call is to be conducted: a frozen value, made before the call is answered and kept through all of it.

Nothing that carries a call reads the process's settings; `default_brief.brief_of` makes the brief that they ask for, and
another one may take its place for a single call. Times in seconds unless a name says milliseconds.
"""

from dataclasses import dataclass, field
from typing import Literal

type Converter = Literal["sinc_fastest", "sinc_medium", "sinc_best"]
type TokenKind = Literal["audio_in", "text_in", "audio_out", "text_out", "cached"]
type Sensitivity = Literal["default", "low", "high"]
type ActivityHandling = Literal["default", "interrupts", "no_interruption"]
type TurnCoverage = Literal["default", "only_activity", "all_input"]
type ThinkingLevel = Literal["minimal", "low", "medium", "high"]
type SafetyThreshold = Literal["low_and_above", "medium_and_above", "only_high", "none"]


@dataclass(frozen=True, slots=True)
class Vad:
    """The service's own detection of the caller's speech, as its set-up takes it."""

    start_sensitivity: Sensitivity = "low"
    end_sensitivity: Sensitivity = "default"
    prefix_padding_ms: int = 20
    silence_ms: int = 500
    activity_handling: ActivityHandling = "default"  # whether the caller's voice interrupts the model
    turn_coverage: TurnCoverage = "default"  # which audio counts as the caller's turn


@dataclass(frozen=True, slots=True)
class Transcription:
    """What the service is told of the caller's words: their languages (BCP-47), and words that it might not know."""

    languages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model session is set up with besides its instruction; what a model does not take is left out for it."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int = 0  # 0: the model's own limit
    thinking_level: ThinkingLevel | None = None  # None: the model's own default, or the least that it takes
    thinking_budget: int | None = None  # tokens; 0 turns thinking off, -1 leaves it to the model (2.5)
    affective_dialog: bool = False
    proactive_audio: bool | None = None
    safety_threshold: SafetyThreshold | None = None  # from which harm up an answer is blocked, in all categories
    labels: tuple[tuple[str, str], ...] = ()  # names and values for the service's billing
    compression_trigger_tokens: int = 25_600
    compression_target_tokens: int = 12_800


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences that the caller may hear from Twilio's own voice, and texts that the model is given."""

    apology: str = "I am sorry, I cannot continue this conversation right now. Please call again later. Goodbye."
    apology_language: str = "en-US"
    busy: str = "All lines are busy right now. Please call again in a few minutes."
    nudge: str = "(The caller is waiting for your answer and has heard nothing. Please go on.)"
    resume_nudge: str = (
        "(The line to you was interrupted for a moment. Go on with the conversation: if you were answering, finish briefly; "
        "if you did not hear the caller's last words, ask for them again. Do not greet the caller again.)"
    )
    idle_ask: str = "(The caller has said nothing for a while. Ask in a few words whether they are still there.)"
    idle_goodbye: str = "(The caller still says nothing. Say goodbye in one short sentence; the call ends then.)"
    keys: str = "(The caller pressed these keys on the telephone: {keys})"
    late_result: str = "(The result of {name}, which you asked for before the line to you was interrupted: {result})"


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers by which a call's machine decides; `settings.py` has their reasons."""

    unreachable_s: float = 12.0
    greeting_timeout_s: float = 12.0
    backoff_s: float = 0.25
    backoff_max_s: float = 4.0
    max_tries: int = 12  # sessions that die without a sign of life; the budget in seconds is usually spent before
    comfort_after_s: float = 3.0
    first_audio_s: float = 7.0
    nudge_s: float = 4.0  # so long a nudge is waited for: an answer to a few written words is there sooner, or not at all
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
    short_word_ms: int = 120  # ... but right after the bot has spoken it is an answer: "yes" has 160 ms on a bad line
    answer_within_s: float = 5.0  # so long after the bot's words
    keys_s: float = 4.0  # keys pressed within so long of each other are one entry
    hash_ends_keys: bool = True  # `#` ends an entry at once
    speech_s: float = 12.0  # what never pauses for so long is a noise on the line, and holds up nothing
    trouble_s: float = 40.0  # so long a caller may wait for words through losses and moves; then the apology
    work_s: float = 60.0  # the service works on an answer and says so: it is asked after so long, then moved
    max_beginnings: int = 3  # answers begun and not heard to their end, one after the other
    idle_asks: int = 2  # so often a silent caller is asked whether they are still there
    idle_ask_s: float = 20.0  # after so long, from the end of the bot's words; 0: only `caller_silence_s` holds
    max_restarts: int = 3  # crashes of children that a call survives
    connect_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each silence on a socket may last."""

    twilio_silence_s: float = 10.0
    model_silence_s: float = 60.0
    model_probe_s: float = 20.0
    keepalive_s: float = 5.0
    progress_s: float = 10.0


@dataclass(frozen=True, slots=True)
class AudioPath:
    """How audio is converted, kept and played."""

    upsampler: Converter = "sinc_medium"
    downsampler: Converter = "sinc_medium"
    playout_lead_ms: int = 400
    playout_queue_s: float = 120.0
    mark_every_ms: int = 500
    backlog_s: float = 30.0
    uplink_max_message_ms: int = 100


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars, for the cost in the call's summary: a minute of audio, or a million tokens of each kind when they are set."""

    in_per_min: float = 0.005
    out_per_min: float = 0.018
    per_mtok: tuple[tuple[TokenKind, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Brief:
    """How one call is to be conducted.

    `models` are tried in their order; on Vertex one may name its own location, as `model@location`. `tools` are the names
    of the functions that the model is offered.
    """

    prompt: str = ""
    greeting: str = ""  # what the model is asked to open with; empty: the caller speaks first
    voice: str = ""
    language: str = ""
    models: tuple[str, ...] = ("gemini-3.8-live",)
    tools: tuple[str, ...] = ("end_call",)
    vad: Vad = field(default_factory=Vad)
    transcription: Transcription = field(default_factory=Transcription)
    generation: Generation = field(default_factory=Generation)
    words: Words = field(default_factory=Words)
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    audio: AudioPath = field(default_factory=AudioPath)
    prices: Prices = field(default_factory=Prices)
