"""Calls that the app asks for (`calls.create`), and who answers at a number."""

from dataclasses import dataclass
from typing import Literal

from callbot.simulators.twilio.script import Script

type Outcome = Literal["answered", "voicemail", "busy", "declined", "no-answer", "failed"]

ANSWERS = frozenset({"answered", "voicemail"})
# How Twilio names what became of a leg. Who declines is busy to the network.
CALL_STATUS: dict[Outcome, str] = {
    "answered": "completed",
    "voicemail": "completed",
    "busy": "busy",
    "declined": "busy",
    "no-answer": "no-answer",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Callee:
    """Who, or what, answers at a number: after ringing for `ring_s`, or not at all.

    `script` is what they do in a call of their own (outbound); on the second leg of a <Dial> they talk for `talk_s`
    and say `says` (8 kHz mu-law), after pressing `presses` where they are asked to before.
    """

    outcome: Outcome = "answered"
    ring_s: float = 1.0
    talk_s: float = 2.0
    says: bytes = b""
    presses: str = ""
    script: Script = ()

    @property
    def answers(self) -> bool:
        """Whether anything picks up."""
        return self.outcome in ANSWERS


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """The fields of `calls.create`. With `url` given `twiml` is ignored, as Twilio does."""

    to_number: str
    from_number: str
    url: str = ""
    method: str = "POST"
    twiml: str = ""
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = ("completed",)
    timeout_s: float = 60.0
    time_limit_s: float = 14_400.0
    machine_detection: str = ""  # Enable or DetectMessageEnd
    async_amd: bool = False
    async_amd_status_callback: str = ""
    async_amd_status_callback_method: str = "POST"
