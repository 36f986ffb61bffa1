"""Everything that can be chosen about a stand-in, in one frozen record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .brains import Brain, Parrot
from .families import RULES, ModelRules
from .faults import Fault
from .vad import VadSettings


@dataclass(frozen=True, slots=True)
class StandInOptions:
    """Options of `GeminiStandIn`.

    Durations are simulated seconds, unless they say otherwise; `time_scale` turns them into real ones.
    """

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    tls: bool = True  # False: plain ws, for clients whose connector has been patched
    ca_path: Path | None = None  # where to write the CA as PEM; None: a temporary file
    compression: bool = False  # whether permessage-deflate is accepted

    brain: Brain = field(default_factory=Parrot)
    faults: tuple[Fault, ...] = ()

    # Simulated seconds for each real one.
    time_scale: float = 1.0
    # "caller": an answer is paced by the caller's audio, sample by sample, and not by any clock.
    pace: Literal["wall", "caller"] = "wall"
    seed: int = 1

    # "scripted": no voice detection at all; turns begin with `session.say` and `session.hear`.
    listening: Literal["auto", "scripted"] = "auto"
    vad: VadSettings = field(default_factory=VadSettings)  # what setup leaves unset

    answer_delay_s: float = 0.2  # from the end of the caller's speech to the first audio
    burst: float = 4.0  # how many times faster than real time audio is sent; math.inf: all at once
    # Sizes of audio parts in bytes, used in a circle; these are the ones seen on the real service.
    chunk_bytes: tuple[int, ...] = (2, 2400, 7680, 9600, 15360)
    audio_mime_type: str = "audio/pcm;rate=24000"
    delay_turn_complete: bool = True  # until the answer is believed to have been played
    text_frames: bool = False  # the service sends binary frames
    late_input_transcription: bool = False  # after turnComplete, which the service does now and then
    finish_transcriptions: bool = False  # mark the last fragment `finished`; the service usually doesn't
    usage_in_turn_complete: bool = True  # False: usageMetadata in a message of its own

    session_ids: bool = True  # whether setupComplete has a sessionId
    setup_timeout_s: float = 10.0  # how long a client may take to send setup; real seconds: no client is faster
    extra_models: frozenset[str] = frozenset()  # accepted in both modes, besides the known ones

    # Accepted keys and tokens; None: any, but there must be one (except on `/`, where the SDK has none to send).
    keys: frozenset[str] | None = None
    bad_key: Literal["close", "401", "403", "429"] = "close"
    max_sessions: int | None = None  # open at the same time
    over_cap: Literal["429", "close"] = "429"
    connect_latency_s: tuple[float, float] = (0.0, 0.0)  # uniform between these, by seed

    handle_valid_s: float = 7200.0  # 2 h after the last connection ended
    handle_at_setup: bool = False  # a first update right after setupComplete
    vertex_always_resumable: bool = True  # in Vertex mode updates have a handle even in mid-answer
    forget_on_resume: bool = False  # a resumed session remembers nothing

    go_away_at_s: float | None = None  # age of a connection at which goAway is sent; None: never
    go_away_time_left_s: float = 50.0
    deadline_close: tuple[int, str] = (1011, "Deadline expired before operation could complete.")

    rules: Mapping[str, ModelRules] = field(default_factory=lambda: RULES)  # where families of models differ
    record_audio: bool = True  # False: count the caller's audio but keep none of it (load tests)

    def __post_init__(self) -> None:
        if not self.chunk_bytes or min(self.chunk_bytes) < 1:
            raise ValueError("chunk_bytes needs at least one size, each 1 byte or more")
        if self.burst <= 0:
            raise ValueError("burst must be above 0; math.inf sends everything at once")
        if self.time_scale <= 0:
            raise ValueError("time_scale must be above 0; 1 is real time, 100 is a hundred times faster")
