"""TwiML, read strictly: the verbs of a call as frozen dataclasses.

Element and attribute names are case-sensitive, and what Twilio does not document is refused, so that a
mistake shows here instead of on a live number. Error codes are those of Twilio's debugger: 12100 the
document cannot be parsed, 12200 it breaks the schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callbot.simulators.twilio.xml_tree import Element, XmlError, read_xml

NOT_PARSABLE = 12100
SCHEMA = 12200
PARAMETER_LIMIT = 500  # characters of name and value together; Twilio's page on <Stream>
# Verbs that Twilio knows and this stand-in does not perform.
_UNPERFORMED = frozenset({"Gather", "Record", "Enqueue", "Leave", "Refer", "Pay", "Prompt", "Siprec", "Start", "Stop"})


class TwimlError(ValueError):
    """The document is refused. `code` is the number in Twilio's debugger."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str
    voice: str = ""
    language: str = ""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence, in whole seconds."""

    length_s: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play a file, or key tones."""

    url: str = ""
    digits: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the media goes. `parameters` arrive in the `start` message."""

    url: str
    name: str = ""
    track: str = "inbound_track"
    status_callback: str = ""
    status_callback_method: str = "POST"
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Connect:
    """A bidirectional stream; the call waits in it until the stream ends."""

    stream: Stream
    action: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Hand over to another document."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect the caller with somebody else."""

    targets: tuple[str, ...]
    action: str = ""
    method: str = "POST"
    timeout_s: int = 30
    time_limit_s: int = 14_400
    caller_id: str = ""


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the call before it is answered."""

    reason: str = "rejected"


type Verb = Say | Pause | Play | Connect | Redirect | Dial | Hangup | Reject


def parse(document: str) -> tuple[Verb, ...]:
    """Read a TwiML document. Raises TwimlError with the reason and Twilio's code."""
    try:
        root = read_xml(document)
    except XmlError as error:
        raise TwimlError(NOT_PARSABLE, f"the document is not XML that Twilio can read: {error}") from error
    if root.name != "Response":
        raise TwimlError(NOT_PARSABLE, f"the root element is <{root.name}>, it must be <Response>")
    _only_attributes(root)
    _no_text(root)
    verbs = tuple(_verb(child) for child in root.children)
    for verb in verbs[1:]:
        if isinstance(verb, Reject):
            raise TwimlError(SCHEMA, "<Reject> must be the first verb: later the call has been answered")
    return verbs


def _verb(element: Element) -> Verb:
    read = _READERS.get(element.name)
    if read is not None:
        return read(element)
    if element.name in _UNPERFORMED:
        raise TwimlError(SCHEMA, f"<{element.name}> is a verb of Twilio's that this stand-in cannot perform")
    raise TwimlError(SCHEMA, f"<{element.name}> is not a TwiML verb (names are case-sensitive)")


def _say(element: Element) -> Say:
    given = _only_attributes(element, "voice", "language", "loop")
    _no_children(element)
    text = " ".join(element.text.split())
    if not text:
        raise TwimlError(SCHEMA, "<Say> has nothing to say")
    return Say(text, given.get("voice", ""), given.get("language", ""), _number(element, "loop", 1))


def _pause(element: Element) -> Pause:
    _only_attributes(element, "length")
    _empty(element)
    return Pause(_number(element, "length", 1))


def _play(element: Element) -> Play:
    given = _only_attributes(element, "digits", "loop")
    _no_children(element)
    url, digits = element.text.strip(), given.get("digits", "")
    if not url and not digits:
        raise TwimlError(SCHEMA, "<Play> needs an address or digits")
    return Play(url, digits)


def _connect(element: Element) -> Connect:
    given = _only_attributes(element, "action", "method")
    _no_text(element)
    if len(element.children) != 1 or element.children[0].name != "Stream":
        names = ", ".join(f"<{child.name}>" for child in element.children) or "nothing"
        raise TwimlError(SCHEMA, f"<Connect> must hold exactly one <Stream>, it holds {names}")
    return Connect(_stream(element.children[0]), given.get("action", ""), _method(element, "method"))


def _stream(element: Element) -> Stream:
    given = _only_attributes(element, "url", "name", "track", "statusCallback", "statusCallbackMethod")
    _no_text(element)
    if not given.get("url"):
        raise TwimlError(SCHEMA, "<Stream> has no url")
    parameters: dict[str, str] = {}
    for child in element.children:
        if child.name != "Parameter":
            raise TwimlError(SCHEMA, f"<Stream> may hold <Parameter> only, not <{child.name}>")
        pair = _only_attributes(child, "name", "value")
        _empty(child)
        if not pair.get("name") or "value" not in pair:
            raise TwimlError(SCHEMA, "<Parameter> needs a name and a value")
        if len(pair["name"]) + len(pair["value"]) >= PARAMETER_LIMIT:
            raise TwimlError(
                SCHEMA, f"<Parameter name={pair['name']!r}>: name and value must stay under {PARAMETER_LIMIT} characters"
            )
        if pair["name"] in parameters:
            raise TwimlError(SCHEMA, f"<Parameter name={pair['name']!r}> appears twice")
        parameters[pair["name"]] = pair["value"]
    return Stream(
        given["url"],
        given.get("name", ""),
        given.get("track", "inbound_track"),
        given.get("statusCallback", ""),
        _method(element, "statusCallbackMethod"),
        tuple(parameters.items()),
    )


def _redirect(element: Element) -> Redirect:
    _only_attributes(element, "method")
    _no_children(element)
    if not element.text.strip():
        raise TwimlError(SCHEMA, "<Redirect> has no address")
    return Redirect(element.text.strip(), _method(element, "method"))


_DIAL_NOUNS = frozenset({"Number", "Sip", "Client", "Conference", "Queue"})
_DIAL_ATTRIBUTES = (
    "action", "method", "timeout", "timeLimit", "callerId", "answerOnBridge", "record", "hangupOnStar", "ringTone",
    "trim", "recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent",
)  # fmt: skip


def _dial(element: Element) -> Dial:
    given = _only_attributes(element, *_DIAL_ATTRIBUTES)
    targets = [element.text.strip()] if element.text.strip() else []
    for child in element.children:
        if child.name not in _DIAL_NOUNS:
            raise TwimlError(SCHEMA, f"<Dial> cannot hold <{child.name}>")
        if not child.text.strip():
            raise TwimlError(SCHEMA, f"<{child.name}> in <Dial> is empty")
        targets.append(child.text.strip())
    if not targets:
        raise TwimlError(SCHEMA, "<Dial> has nobody to call")
    return Dial(
        tuple(targets),
        given.get("action", ""),
        _method(element, "method"),
        _number(element, "timeout", 30),
        _number(element, "timeLimit", 14_400),
        given.get("callerId", ""),
    )


def _hangup(element: Element) -> Hangup:
    _only_attributes(element)
    _empty(element)
    return Hangup()


def _reject(element: Element) -> Reject:
    given = _only_attributes(element, "reason")
    _empty(element)
    reason = given.get("reason", "rejected")
    if reason not in {"rejected", "busy"}:
        raise TwimlError(SCHEMA, f"<Reject reason={reason!r}>: only rejected and busy exist")
    return Reject(reason)


_READERS: Mapping[str, Callable[[Element], Verb]] = {
    "Say": _say,
    "Pause": _pause,
    "Play": _play,
    "Connect": _connect,
    "Redirect": _redirect,
    "Dial": _dial,
    "Hangup": _hangup,
    "Reject": _reject,
}


def _only_attributes(element: Element, *known: str) -> Mapping[str, str]:
    unknown = sorted(set(element.attributes) - set(known))
    if unknown:
        raise TwimlError(SCHEMA, f"<{element.name}> has no attribute {', '.join(unknown)} (names are case-sensitive)")
    return element.attributes


def _no_children(element: Element) -> None:
    if element.children:
        raise TwimlError(SCHEMA, f"<{element.name}> cannot hold <{element.children[0].name}>")


def _no_text(element: Element) -> None:
    if element.text.strip():
        raise TwimlError(SCHEMA, f"<{element.name}> cannot hold text")


def _empty(element: Element) -> None:
    _no_children(element)
    _no_text(element)


def _number(element: Element, name: str, default: int) -> int:
    given = element.attributes.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit()):
        raise TwimlError(SCHEMA, f"<{element.name} {name}={given!r}> must be a whole number")
    return int(given)


def _method(element: Element, name: str) -> str:
    given = element.attributes.get(name, "POST")
    if given not in {"GET", "POST"}:
        raise TwimlError(SCHEMA, f"<{element.name} {name}={given!r}> must be GET or POST")
    return given
