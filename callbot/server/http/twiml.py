"""The documents that Twilio is answered with; the `twilio` library writes and escapes the XML.

Every document ends on purpose: after a stream or a dialled person comes the `action` address, after words a `<Hangup/>`.
Nothing follows `<Connect>` or `<Dial>`, because their `action` wins over following verbs (Twilio, "TwiML: Connect").
"""

from dataclasses import dataclass

from twilio.twiml.voice_response import Connect, VoiceResponse

from callbot.settings import Settings
from callbot.wire.twilio.party import Party, caller_id, party

CALL_PATH = "/twiml"
NEXT_PATH = "/twiml/next"
STATUS_PATH = "/twilio/status"
DIAL_TIMEOUT_S = 30  # Twilio's own default, written out
_AFTER_DIALLING = "dialled=1"


def connect(settings: Settings, token: str, stream_no: int, *, pause_s: int = 0) -> str:
    """Open a stream; when it ends Twilio asks `/twiml/next`, which learns the number from the signed query.

    `pause_s` whole seconds are waited first. The token travels in `<Parameter>`: a query of the stream's address is dropped
    by Twilio.
    """
    response = VoiceResponse()
    if pause_s:
        response.pause(length=pause_s)
    verb = Connect(action=next_url(settings, stream_no), method="POST")
    stream = verb.stream(
        url=settings.stream_url, status_callback=settings.public_url + STATUS_PATH, status_callback_method="POST"
    )
    stream.parameter(name="token", value=token)
    stream.parameter(name="stream_no", value=str(stream_no))
    response.append(verb)
    return str(response)


def ask_again(settings: Settings, stream_no: int, *, pause_s: int) -> str:
    """Wait and ask `/twiml/next` again: by then another instance answers."""
    response = VoiceResponse()
    response.pause(length=pause_s)
    response.redirect(next_url(settings, stream_no), method="POST")
    return str(response)


@dataclass(frozen=True, slots=True)
class NumberToDial:
    """Whom to dial, and with which caller id; an empty one leaves the caller's own."""

    number: str
    caller_id: str


def number_to_dial(settings: Settings, caller: Party, called: Party) -> NumberToDial | None:
    """The person who takes over when the model cannot be reached. None when there is none, when it would be one of the two who
    are on the line already, or when Twilio would accept no caller id for it.
    """
    person = party(settings.fallback_number)
    if not person.number or person.is_same_person(caller) or person.is_same_person(called):
        return None
    own = caller_id(caller, called)
    return None if own is None else NumberToDial(person.number, own)


def dial(settings: Settings, to: NumberToDial, stream_no: int) -> str:
    """Dial a person, with words before the ringing; what became of it is asked for at `/twiml/next`."""
    response = VoiceResponse()
    response.say(settings.fallback_message, language=settings.apology_language)
    response.dial(
        to.number,
        timeout=DIAL_TIMEOUT_S,
        action=next_url(settings, stream_no) + "&" + _AFTER_DIALLING,
        method="POST",
        **({"caller_id": to.caller_id} if to.caller_id else {}),
    )
    return str(response)


def is_after_dialling(query: str) -> bool:
    """Whether the question is what became of a person who was dialled; `query` is part of Twilio's signature."""
    return _AFTER_DIALLING in query.split("&")


def apology(settings: Settings) -> str:
    """The model cannot be reached, nor a person: words, then the end."""
    response = VoiceResponse()
    response.say(settings.apology, language=settings.apology_language)
    response.hangup()
    return str(response)


def busy(settings: Settings) -> str:
    """No line is free."""
    response = VoiceResponse()
    response.say(settings.busy_message, language=settings.apology_language)
    response.hangup()
    return str(response)


def reject() -> str:
    """Do not answer this caller; as the first verb it costs nothing."""
    response = VoiceResponse()
    response.reject(reason="rejected")
    return str(response)


def hang_up() -> str:
    """The conversation is over."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def nothing() -> str:
    """There is no call any more to say anything to."""
    return str(VoiceResponse())


def next_url(settings: Settings, stream_no: int) -> str:
    """What Twilio asks when stream `stream_no` has ended. Its query is part of Twilio's signature."""
    return f"{settings.public_url}{NEXT_PATH}?stream_no={stream_no}"
