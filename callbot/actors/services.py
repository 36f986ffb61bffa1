"""What all calls of a process share, and what one call is built from. Made once, passed down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from callbot.actors.call_metrics import CallMetrics
from callbot.actors.heartbeat import Patience
from callbot.actors.ports import EndingRecorder
from callbot.gemini.link import ModelLink
from callbot.gemini.session_config import SessionOrder
from callbot.settings import Settings
from callbot.states import Limits
from callbot.tools import Toolbox

# An answer to a few written words is there sooner than one to speech, or not at all.
_NUDGE_S: Final = 4.0


class ModelConnector(Protocol):
    """Opens sessions for all calls; `gemini/connector.py` is the real one."""

    @property
    def models(self) -> tuple[str, ...]:
        """The configured models, in the order in which they are tried."""
        ...

    async def open(self, order: SessionOrder, model_index: int) -> ModelLink:
        """A session, ready; bounded in time. Raises what `failures.classify` judges."""
        ...

    async def speak_first(self, link: ModelLink, model_index: int, text: str) -> None:
        """Give the model `text` in the way that makes this model speak."""
        ...


class PrewarmedLinks(Protocol):
    """Sessions that were opened when the webhook was answered."""

    async def take(self, call_sid: str) -> ModelLink | None:
        """This call's, once: open already or in a moment. None when there is none, or its opening failed."""
        ...


@dataclass(frozen=True, slots=True)
class CallServices:
    """The process's part in every call. `clock` is the running loop's monotonic one, in seconds."""

    settings: Settings
    connector: ModelConnector
    record_ending: EndingRecorder
    log: Any
    clock: Callable[[], float]
    toolbox: Toolbox
    redact: Callable[[str], str]
    metrics: CallMetrics = field(default_factory=CallMetrics)
    prewarmed: PrewarmedLinks | None = None
    random: Random = field(default_factory=Random)


def limits_from(settings: Settings, models: int) -> Limits:
    """The machine's numbers, out of the settings."""
    return Limits(
        unreachable_s=settings.unreachable_s,
        greeting_timeout_s=settings.greeting_timeout_s,
        backoff_s=settings.reconnect_backoff_ms / 1000,
        backoff_max_s=settings.reconnect_backoff_max_ms / 1000,
        comfort_after_s=settings.comfort_after_s,
        first_audio_s=settings.first_audio_s,
        nudge_s=min(_NUDGE_S, settings.first_audio_s),
        turn_gap_s=settings.turn_gap_s,
        turn_complete_s=settings.turn_complete_s,
        max_session_s=settings.max_session_s,
        go_away_margin_s=settings.go_away_margin_s,
        max_call_s=settings.max_call_s,
        caller_silence_s=settings.caller_silence_s or settings.max_call_s,  # 0 is never: the call's own limit comes first
        farewell_s=settings.farewell_s,
        drain_s=settings.farewell_s + 3.0,  # children get three seconds after the last word
        models=models,
        greeting=settings.greeting,
    )


def patience_from(settings: Settings) -> Patience:
    """Heartbeat's numbers, out of the settings."""
    return Patience(
        twilio_silence_s=settings.twilio_silence_s,
        model_silence_s=settings.model_silence_s,
        model_probe_s=settings.model_probe_s,
        keepalive_s=settings.keepalive_s,
        progress_s=settings.progress_s,
    )
