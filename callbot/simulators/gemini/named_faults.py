"""Faults that users of the service have reported, by name: `StandInOptions(faults=NAMED_FAULTS["dies_in_answers"])`.

The command line takes the names too (`--fault`). Each entry says what the service was seen to do.
"""

from collections.abc import Mapping

from . import messages
from .faults import Close, Fault, Flood, Freeze, Interrupt, OmitCallIds, Refuse, SendRaw, TextOnlyTurns, Withhold
from .triggers import After, ModelAudio, OnConnect, OnReady, OnSetup, OnSpeechEnd, OnTurnComplete
from .voice import tone

_TRACE = (
    "Request trace id: 4be1c2d97a60f38e, [ORIGINAL ERROR] generic::resource_exhausted: RESOURCE_EXHAUSTED: "
    "Maximum concurrent sessions exceeded"
)

NAMED_FAULTS: Mapping[str, tuple[Fault, ...]] = {
    # Every session says one second of its answer and closes (python-genai#985, #986).
    "dies_in_answers": (Fault(ModelAudio(1000), Close(1011, "Internal error encountered."), times=None),),
    # A refusal behind a trace id, cut at 123 bytes as a close frame is (GoogleCloudPlatform/generative-ai#1576).
    "exhausted_with_trace_id": (Fault(OnSetup(), Close(1011, _TRACE), times=None),),
    "credits_depleted": (
        Fault(OnSetup(), Close(1011, "Your prepayment credits are depleted. Please go to AI Studio."), times=None),
    ),  # sonichi/sutando#617
    "too_many_requests": (Fault(OnConnect(), Refuse(429, retry_after="30"), times=None),),
    "api_key_not_found": (
        Fault(OnSetup(), Close(1007, "API Key not found. Please pass a valid API key."), times=None),
    ),  # sub2api#1709
    "redirected": (Fault(OnConnect(), Refuse(302, location="/login"), times=None),),
    "no_call_ids": (Fault(OnReady(), OmitCallIds(), times=None),),  # Vertex: langchainjs#10292
    "text_only_turns": (Fault(OnReady(), TextOnlyTurns(3), times=None),),  # livekit PR#7390
    # 120 ms of audio behind turnComplete, once a turn (livekit PR#6431).
    "late_audio": (Fault(OnTurnComplete(), SendRaw(messages.audio(tone(440.0, 0.12))), times=None),),
    "interrupted_without_speech": (Fault(After(5.0), Interrupt(), times=None),),  # pipecat#4509
    "silent_answers": (Fault(OnSpeechEnd(), Freeze(until_text=True), times=None),),  # cookbook#1225
    "no_turn_complete": (Fault(OnReady(), Withhold("turnComplete"), times=None),),  # cookbook#1346
    "flood_of_tool_calls": (Fault(OnReady(), Flood("toolCall"), times=None),),
    "flood_of_unknown_keys": (Fault(OnReady(), Flood("unknownKeys"), times=None),),
}
