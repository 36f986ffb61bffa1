"""Signs of life of one call: when each side was last heard from. Written where bytes arrive, read by Heartbeat.

Plain numbers instead of messages, because they change with every frame. Times are the loop's monotonic clock.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class LifeSigns:
    """Counters and times; each has one writer."""

    twilio_s: float = 0.0  # any message from Twilio (TwilioIO)
    caller_audio_s: float = 0.0  # the caller's audio (TwilioIO)
    model_s: float = 0.0  # any message or pong from the model (GeminiSession)
    frames_in: int = 0  # media messages from Twilio (TwilioIO)
    frames_out: int = 0  # 20 ms frames to Twilio (TwilioIO)
    gap_ms: int = 0  # caller audio that never arrived, by Twilio's own time stamps (TwilioIO)
    other_track: int = 0  # media messages of a track that was not announced, dropped (TwilioIO)
    uplink_ms: int = 0  # audio given to the model's socket (GeminiSession)
