"""The documents that Twilio is answered with; the `twilio` library writes and escapes the XML.

Every document ends on purpose: after a stream comes the `action` address, after words a `<Hangup/>`. Nothing follows
`<Connect>`, because its `action` wins over following verbs (Twilio, "TwiML: Connect").
"""

from twilio.twiml.voice_response import Connect, VoiceResponse

from callbot.settings import Settings

CALL_PATH = "/twiml"
NEXT_PATH = "/twiml/next"
STATUS_PATH = "/twilio/status"
DIAL_TIMEOUT_S = 30  # Twilio's own default, written out


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


def apology(settings: Settings) -> str:
    """The model cannot be reached: a person when there is a number to dial, else words; then the end."""
    response = VoiceResponse()
    if settings.fallback_number:
        response.dial(settings.fallback_number, timeout=DIAL_TIMEOUT_S)
    else:
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
