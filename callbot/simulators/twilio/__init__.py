"""A Twilio that lives in the test: it phones an app over real HTTP and a real WebSocket.

It knows what goes over the wire and nothing else of the app. Place a call with `Carrier.call`, tell the
caller what to do with steps or an async function, and read `CallReport`.
"""

from callbot.simulators.twilio.call_requests import WITHHELD_NUMBERS
from callbot.simulators.twilio.carrier import Carrier
from callbot.simulators.twilio.clock import Clock, ManualClock, MonotonicClock
from callbot.simulators.twilio.faults import (
    BadSignature,
    DelayHandshake,
    DtmfStorm,
    DuplicateStart,
    EndStream,
    Fault,
    Garbage,
    HangUpStyle,
    LoseFrames,
    MarkFlood,
    MediaBeforeStart,
    Mute,
    NeverStart,
    OtherTrack,
    OverrideParameter,
    ReplayVoiceWebhook,
    SecondSocket,
    SendGarbage,
    Stall,
    StopAfterStart,
    StopReading,
    WrongSignature,
)
from callbot.simulators.twilio.handset import CallEndedError, LineError, WaitTimeoutError
from callbot.simulators.twilio.line import Echo, Jitter, LineModel
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.outbound import Callee, OutboundCall
from callbot.simulators.twilio.records import CallEnd, StreamEnd
from callbot.simulators.twilio.report import CallReport
from callbot.simulators.twilio.report_text import describe, problems, remarks
from callbot.simulators.twilio.rest import ApiFailure, RestApi
from callbot.simulators.twilio.script import (
    BargeIn,
    HangUp,
    Inject,
    Line,
    Press,
    Script,
    Silence,
    Speak,
    StayOnLine,
    Step,
    WaitForStream,
    WaitUntilBotQuiet,
    WaitUntilBotSpeaks,
    WaitUntilHeard,
)
from callbot.simulators.twilio.wav import WavError, read_wav

__all__ = [
    "WITHHELD_NUMBERS",
    "ApiFailure",
    "BadSignature",
    "BargeIn",
    "CallEnd",
    "CallEndedError",
    "CallReport",
    "Callee",
    "Carrier",
    "CarrierOptions",
    "Clock",
    "DelayHandshake",
    "DtmfStorm",
    "DuplicateStart",
    "Echo",
    "EndStream",
    "Fault",
    "Garbage",
    "HangUp",
    "HangUpStyle",
    "Inject",
    "Jitter",
    "Line",
    "LineError",
    "LineModel",
    "LoseFrames",
    "ManualClock",
    "MarkFlood",
    "MediaBeforeStart",
    "MonotonicClock",
    "Mute",
    "NeverStart",
    "OtherTrack",
    "OutboundCall",
    "OverrideParameter",
    "Press",
    "ReplayVoiceWebhook",
    "RestApi",
    "Script",
    "SecondSocket",
    "SendGarbage",
    "Silence",
    "Speak",
    "Stall",
    "StayOnLine",
    "Step",
    "StopAfterStart",
    "StopReading",
    "StreamEnd",
    "WaitForStream",
    "WaitTimeoutError",
    "WaitUntilBotQuiet",
    "WaitUntilBotSpeaks",
    "WaitUntilHeard",
    "WavError",
    "WrongSignature",
    "describe",
    "problems",
    "read_wav",
    "remarks",
]
