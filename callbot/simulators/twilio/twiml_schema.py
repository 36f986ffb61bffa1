"""Which TwiML elements there are, with their attributes and what they may hold, as Twilio's pages list them.

What a document has beyond that is a schema warning (12200): Twilio leaves it out and goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callbot.simulators.twilio.xml_tree import Element


@dataclass(frozen=True, slots=True)
class Shape:
    """What an element may have: attributes, elements, and whether text."""

    attributes: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    text: bool = False


def _shape(attributes: str = "", children: str = "", *, text: bool = False) -> Shape:
    return Shape(frozenset(attributes.split()), frozenset(children.split()), text)


_SSML = "break emphasis lang p phoneme prosody s say-as sub w amazon:effect amazon:domain"
_STATUS = "statusCallback statusCallbackMethod statusCallbackEvent"
_RECORDING = "recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent recordingConfigurationId"
_MACHINES = (
    "machineDetection machineDetectionTimeout machineDetectionSpeechThreshold machineDetectionSpeechEndThreshold "
    "machineDetectionSilenceTimeout amdStatusCallback amdStatusCallbackMethod"
)
# Verbs and nouns that are Twilio's and that this stand-in does not perform. Nothing in them is looked at.
UNPERFORMED = frozenset({
    "AiSession", "Assistant", "Autopilot", "Conversation", "ConversationRelay", "ConversationRelaySession", "Echo",
    "Enqueue", "Leave", "Pay", "Prompt", "Recording", "Refer", "Room", "Siprec", "Sms", "Transcription", "VirtualAgent",
})  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    "Response": _shape(
        children="Say Play Pause Connect Dial Gather Hangup Record Redirect Reject Start Stop Enqueue Leave Refer Pay "
        "Prompt Echo Sms Queue"
    ),
    "Say": _shape("voice language loop", _SSML, text=True),
    "Play": _shape("digits loop", text=True),
    "Pause": _shape("length"),
    "Hangup": _shape("", "Parameter"),
    "Reject": _shape("reason", "Parameter"),
    "Redirect": _shape("method", text=True),
    "Record": _shape(f"action method timeout finishOnKey maxLength playBeep trim transcribe transcribeCallback {_RECORDING}"),
    "Gather": _shape(
        "action method input timeout speechTimeout finishOnKey numDigits actionOnEmptyResult language hints "
        "bargeIn debug enhanced maxSpeechTime partialResultCallback partialResultCallbackMethod profanityFilter "
        "speechModel dtmfDetection",
        "Say Play Pause",
    ),
    "Connect": _shape(
        "action method",
        "Stream ConversationRelay ConversationRelaySession VirtualAgent Room Conversation Autopilot Assistant AiSession",
    ),
    "Start": _shape("action method", "Stream Siprec Recording Transcription"),
    "Stop": _shape("", "Stream Siprec Recording Transcription"),
    "Stream": _shape("url name track statusCallback statusCallbackMethod connectorName audioFormat sampleRate", "Parameter"),
    "Parameter": _shape("name value"),
    "Dial": _shape(
        f"action method timeout timeLimit callerId answerOnBridge record hangupOnStar ringTone trim sequential "
        f"recordingTrack referUrl referMethod events passports {_RECORDING}",
        "Number Sip Client Conference Queue Application Sim WhatsApp",
        text=True,
    ),
    "Number": _shape(f"url method sendDigits byoc phoneNumberSid {_STATUS} {_MACHINES}", text=True),
    "Sip": _shape(f"url method username password codecs {_STATUS} {_MACHINES}", text=True),
    "Client": _shape(f"url method {_STATUS}", "Identity Parameter", text=True),
    "Identity": _shape(text=True),
    "WhatsApp": _shape(f"url method {_STATUS}", text=True),
    "Sim": _shape(text=True),
    "Application": _shape(f"url method customerId copyParentTo {_STATUS}", "ApplicationSid Parameter", text=True),
    "ApplicationSid": _shape("sid", text=True),
    "Queue": _shape("url method reservationSid postWorkActivitySid", text=True),
    "Conference": _shape(
        f"muted beep startConferenceOnEnter endConferenceOnExit participantLabel jitterBufferSize waitUrl waitMethod "
        f"maxParticipants record region coach trim eventCallbackUrl {_STATUS} {_RECORDING}",
        text=True,
    ),
}


def without_strangers(element: Element, warn: Callable[[str], None]) -> Element:
    """Return the element without what Twilio does not know in it; each such thing is a warning in plain words."""
    shape = SHAPES.get(element.name)
    if shape is None:  # speech mark-up, or something that is not performed: none of our business
        return element
    for name in sorted(set(element.attributes) - shape.attributes):
        warn(f"<{element.name}> has no attribute {name} (names are case-sensitive)")
    kept = Element(element.name, {k: v for k, v in element.attributes.items() if k in shape.attributes})
    if element.text and not shape.text:
        warn(f"<{element.name}> cannot hold text")
    for part in element.content:
        if isinstance(part, str):
            if shape.text:
                kept.content.append(part)
        elif part.name in shape.children:
            kept.content.append(without_strangers(part, warn))
        elif part.name in SHAPES or part.name in UNPERFORMED:
            warn(f"<{element.name}> cannot hold <{part.name}>")
        else:
            kind = "a TwiML verb" if element.name == "Response" else f"known in <{element.name}>"
            warn(f"<{part.name}> is not {kind} (names are case-sensitive)")
    return kept
