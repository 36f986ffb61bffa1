"""Reads TwiML as Twilio does: what breaks the schema is left out with a warning (12200) and the call goes on.

Element and attribute names are case-sensitive. Only a document that is no XML, or no <Response>, is refused (12100).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast, get_args

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.twiml_schema import UNPERFORMED, without_strangers
from callbot.simulators.twilio.xml_tree import Element, XmlError, read_xml

NOT_PARSABLE = 12100
SCHEMA = 12200
PARAMETER_LIMIT = 500  # characters of name and value together; Twilio's page on <Stream>
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")

type Warn = Callable[[str], None]


class TwimlError(ValueError):
    """The document is refused. `code` is the number in Twilio's debugger."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = NOT_PARSABLE


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document asks for, and what in it Twilio warns of (12200)."""

    verbs: tuple[twiml.Verb, ...]
    warnings: tuple[str, ...]


def parse(document: str) -> Reading:
    """Read a TwiML document. Raises TwimlError when it is none."""
    try:
        root = read_xml(document)
    except XmlError as error:
        raise TwimlError(f"the document is not XML that Twilio can read: {error}") from error
    if root.name != "Response":
        raise TwimlError(f"the root element is <{root.name}>, it must be <Response>")
    warnings: list[str] = []
    cleaned = without_strangers(root, warnings.append)
    verbs: list[twiml.Verb] = []
    for child in cleaned.children:
        read = _READERS.get(child.name)  # what may stand here and has no reader is not performed
        verb = twiml.Unperformed(child.name) if read is None else read(child, warnings.append)
        if isinstance(verb, twiml.Reject) and verbs:
            warnings.append("<Reject> must be the first verb: later the call has been answered")
        if verb is not None:
            verbs.append(verb)
    return Reading(tuple(verbs), tuple(warnings))


def _say(element: Element, warn: Warn) -> twiml.Say | None:
    text = element.all_text
    if not text:
        warn("<Say> has nothing to say")
        return None
    given = element.attributes
    return twiml.Say(text, given.get("voice", ""), given.get("language", ""), _number(element, "loop", 1, warn))


def _pause(element: Element, warn: Warn) -> twiml.Pause:
    return twiml.Pause(_number(element, "length", 1, warn))


def _play(element: Element, warn: Warn) -> twiml.Play | None:
    url, digits = element.text, element.attributes.get("digits", "")
    if not url and not digits:
        warn("<Play> needs an address or digits")
        return None
    return twiml.Play(url, digits)


def _connect(element: Element, warn: Warn) -> twiml.Verb | None:
    if len(element.children) != 1:
        names = ", ".join(f"<{child.name}>" for child in element.children) or "nothing"
        warn(f"<Connect> must hold exactly one noun, it holds {names}")
        if not element.children:
            return None
    noun = element.children[0]
    if noun.name in UNPERFORMED:
        return twiml.Unperformed(noun.name)
    return twiml.Connect(_stream(noun, warn), element.attributes.get("action", ""), _method(element, "method", warn))


def _start(element: Element, warn: Warn) -> twiml.Verb | None:
    if not element.children:
        warn("<Start> holds nothing")
        return None
    noun = element.children[0]
    return twiml.Start(_stream(noun, warn)) if noun.name == "Stream" else twiml.Unperformed(noun.name)


def _stop(element: Element, warn: Warn) -> twiml.Verb | None:
    if not element.children:
        warn("<Stop> holds nothing")
        return None
    noun = element.children[0]
    return twiml.Stop(noun.attributes.get("name", "")) if noun.name == "Stream" else twiml.Unperformed(noun.name)


def _stream(element: Element, warn: Warn) -> twiml.Stream:
    given = element.attributes
    if not given.get("url"):
        warn("<Stream> has no url")
    parameters: dict[str, str] = {}
    for child in element.children:
        name, value = child.attributes.get("name", ""), child.attributes.get("value")
        if not name or value is None:
            warn("<Parameter> needs a name and a value")
        elif len(name) + len(value) >= PARAMETER_LIMIT:
            warn(f"<Parameter name={name[:40]!r}>: name and value must stay under {PARAMETER_LIMIT} characters")
        elif name in parameters:
            warn(f"<Parameter name={name!r}> appears twice")
        else:
            parameters[name] = value
    return twiml.Stream(
        given.get("url", ""),
        given.get("name", ""),
        given.get("track", "inbound_track"),
        given.get("statusCallback", ""),
        _method(element, "statusCallbackMethod", warn),
        tuple(parameters.items()),
    )


def _redirect(element: Element, warn: Warn) -> twiml.Redirect:
    # Without an address the document itself is asked for again.
    return twiml.Redirect(element.text, _method(element, "method", warn))


_NOUNS = get_args(twiml.Target.__annotations__["noun"])


def _dial(element: Element, warn: Warn) -> twiml.Dial | None:
    given = element.attributes
    targets = [twiml.Target("Number", element.text)] if element.text else []
    targets += [target for child in element.children if (target := _target(child, warn)) is not None]
    if not targets:
        warn("<Dial> has nobody to call")
        return None
    return twiml.Dial(
        tuple(targets),
        given.get("action", ""),
        _method(element, "method", warn),
        _number(element, "timeout", 30, warn),
        _number(element, "timeLimit", 14_400, warn),
        given.get("callerId", ""),
        _boolean(element, "sequential", default=False, warn=warn),
    )


def _target(element: Element, warn: Warn) -> twiml.Target | None:
    address = element.all_text
    if not address:
        warn(f"<{element.name}> in <Dial> is empty")
        return None
    given = element.attributes
    events = tuple(given.get("statusCallbackEvent", "completed").split())
    return twiml.Target(
        _NOUNS[_NOUNS.index(element.name)],
        address,
        given.get("url", ""),
        _method(element, "method", warn),
        given.get("statusCallback", ""),
        _method(element, "statusCallbackMethod", warn),
        events,
        _boolean(element, "startConferenceOnEnter", default=True, warn=warn),
        _boolean(element, "endConferenceOnExit", default=False, warn=warn),
    )


def _gather(element: Element, warn: Warn) -> twiml.Gather:
    given = element.attributes
    prompts = [_READERS[child.name](child, warn) for child in element.children]
    digits = _number(element, "numDigits", 0, warn)
    return twiml.Gather(
        tuple(cast("twiml.Say | twiml.Pause | twiml.Play", prompt) for prompt in prompts if prompt is not None),
        given.get("action", ""),
        _method(element, "method", warn),
        _number(element, "timeout", 5, warn),
        digits or None,
        given.get("finishOnKey", "#"),
        _boolean(element, "actionOnEmptyResult", default=False, warn=warn),
    )


def _record(element: Element, warn: Warn) -> twiml.Record:
    given = element.attributes
    return twiml.Record(
        given.get("action", ""),
        _method(element, "method", warn),
        _number(element, "timeout", 5, warn),
        _number(element, "maxLength", 3600, warn),
        given.get("finishOnKey", "1234567890*#"),
        given.get("recordingStatusCallback", ""),
        _method(element, "recordingStatusCallbackMethod", warn),
    )


def _hangup(_element: Element, _warn: Warn) -> twiml.Hangup:
    return twiml.Hangup()


def _reject(element: Element, warn: Warn) -> twiml.Reject:
    reason = element.attributes.get("reason", "rejected")
    if reason not in {"rejected", "busy"}:
        warn(f"<Reject reason={reason!r}>: only rejected and busy exist")
        reason = "rejected"
    return twiml.Reject(reason)


_READERS: Mapping[str, Callable[[Element, Warn], twiml.Verb | None]] = {
    "Say": _say,
    "Pause": _pause,
    "Play": _play,
    "Connect": _connect,
    "Start": _start,
    "Stop": _stop,
    "Redirect": _redirect,
    "Dial": _dial,
    "Gather": _gather,
    "Record": _record,
    "Hangup": _hangup,
    "Reject": _reject,
}


def _number(element: Element, name: str, default: int, warn: Warn) -> int:
    given = element.attributes.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        warn(f"<{element.name} {name}={given!r}> must be a whole number")
        return default
    return int(given)


def _boolean(element: Element, name: str, *, default: bool, warn: Warn) -> bool:
    given = element.attributes.get(name)
    if given is None:
        return default
    if given not in {"true", "false"}:
        warn(f"<{element.name} {name}={given!r}> must be true or false")
        return default
    return given == "true"


def _method(element: Element, name: str, warn: Warn) -> str:
    given = element.attributes.get(name, "POST").upper()
    if given not in {"GET", "POST"}:
        warn(f"<{element.name} {name}={given!r}> must be GET or POST")
        return "POST"
    return given
