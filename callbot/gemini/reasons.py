"""The words that Google gives for a refusal or a close, read.

A reason is cut to 123 bytes on the wire (RFC 6455 section 5.5), may stand behind a trace id ("Request trace id: ..,
[ORIGINAL ERROR] generic::resource_exhausted: RESOURCE_EXHAUSTED: ..", GoogleCloudPlatform/generative-ai#1576), and comes
in any case. So known words are looked for anywhere in it, whatever the close code.
"""

import re
from typing import Final, NamedTuple

from callbot.messages.terms import Decision, RefusedPart

KEY_REMEDY: Final = "check GEMINI_API_KEY (or the project and its credentials) and that the Gemini API is enabled for it"
QUOTA_REMEDY: Final = "raise the project's quota for concurrent sessions, or set CALLBOT_FALLBACK_MODELS"
_BILLING_REMEDY: Final = "the project's credits are used up or its billing is off: see its billing page"
_MODEL_REMEDY: Final = (
    "check GOOGLE_GENAI_MODEL, the location and GOOGLE_GENAI_API_VERSION; the two back ends name models differently"
)
_LOCATION_REMEDY: Final = (
    "the service is not offered from here: run callbot in a supported region, or set GOOGLE_CLOUD_LOCATION"
)
_CREDENTIALS_REMEDY: Final = "run `gcloud auth application-default login`, or give the service account the role Vertex AI User"
_SETUP_REMEDY: Final = "the model refuses the set-up: try it without CALLBOT_ settings of the model one by one"


class Judged(NamedTuple):
    """What a reason's words say. A decision that is None leaves it to the close code."""

    name: str
    opening: Decision | None
    open: Decision | None
    part: RefusedPart | None = None
    remedy: str = ""
    refused_name: str = ""


_D = Decision
_P = RefusedPart
# First match wins, so the more special stands above: a billing text names a quota, too. Each row's patterns are alternatives.
_ROWS: Final[tuple[tuple[tuple[str, ...], Judged], ...]] = (
    (  # sonichi/sutando#617
        (
            r"credits? (?:are|is|have been|has been|balance)?.{0,12}(?:depleted|exhausted|used up)",
            r"prepay|prepaid",
            r"billing (?:account|is not|has not|to be|disabled|must)|(?:enable|without|requires) billing",
        ),
        Judged("billing", _D.GIVE_UP, _D.GIVE_UP, _P.BILLING, _BILLING_REMEDY),
    ),
    (
        (
            r"resource[ _]exhausted|exceeded your current quota|\bquotas?\b|rate.?limit",
            r"too many (?:concurrent|sessions|requests|connections)|maximum (?:number of )?concurrent",
        ),
        Judged("quota", _D.WAIT, _D.WAIT, _P.QUOTA, QUOTA_REMEDY),
    ),
    (  # voiceclaw#155 (expired), sub2api#1709 ("API Key not found")
        (r"api[ _-]?keys?\b|unregistered callers|unauthenticated|authentication credential|oauth|access token",),
        Judged("key", _D.GIVE_UP, _D.GIVE_UP, _P.KEY, KEY_REMEDY),
    ),
    (
        (
            r"permission[ _](?:denied|'|\")|caller does not have permission|consumer .*(?:suspended|invalid)",
            r"service_disabled|has not been used in project|it is disabled",
        ),
        Judged("permission", _D.GIVE_UP, _D.GIVE_UP, _P.KEY, KEY_REMEDY),
    ),
    (
        (r"(?:location|region) is not supported|not available in your (?:country|region)",),
        Judged("location", _D.GIVE_UP, _D.GIVE_UP, _P.LOCATION, _LOCATION_REMEDY),
    ),
    (  # "BidiGenerateContent session not found" (Youtube_demos#5), forum 186392
        (
            r"bidi_?generate_?content session|session (?:was )?(?:not found|has expired|expired)",
            r"(?:resumption|session) handle",
        ),
        Judged("handle_refused", _D.FRESH, _D.FRESH, _P.HANDLE),
    ),
    (  # "is not found for API version" (livekit/agents#3747); "Publisher Model `..` was not found"
        (
            r"is not found for api|not supported for bidi_?gen|publisher model",
            r"\bmodels?/?\S* (?:is |was )?not (?:found|exist|avail)|(?:unknown|invalid|unsupported) model\b",
            r"model .{0,60}(?:does not exist|deprecated|retired|shut down)",
        ),
        Judged("model", _D.GIVE_UP, _D.GIVE_UP, _P.MODEL, _MODEL_REMEDY),
    ),
    ((r"operation is not implemented",), Judged("not_implemented", _D.FRESH, _D.RESUME, _P.SETUP)),  # livekit/agents#4545
    ((r"requested entity was not found",), Judged("not_found", _D.FRESH, _D.FRESH, _P.SETUP)),
    ((r"operation was aborted",), Judged("aborted", _D.RESUME, _D.RESUME)),  # goAway's deadline, or a proxy's
    (  # python-genai#760
        (
            r"(?:service|model) is (?:currently |temporarily )?unavailable|overloaded|high demand",
            r"generic::unavailable|\bunavailable:",
        ),
        Judged("overloaded", _D.WAIT, _D.WAIT),
    ),
    ((r"deadline expired|deadline[ _]exceeded",), Judged("deadline", _D.RESUME, _D.RESUME)),
    ((r"keepalive ping timeout",), Judged("keepalive", _D.RESUME, _D.RESUME)),
)
_REASONS: Final = tuple((re.compile("|".join(patterns)), judged) for patterns, judged in _ROWS)

_VOICE: Final = re.compile(r"\bvoices?(?:[ _]?(?:name|config|id)s?)?\b(?!.{0,2}activity)|prebuilt_?voice|\bspeaker\b")
# What a set-up can do without, by the words that a refusal names it with; the names are those of `Capabilities.without`.
_OPTIONAL: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("thinking", r"thinking[ _]?(?:config|level|budget)?|include_?thoughts"),
        ("temperature", r"\btemperature\b"),
        ("top_p", r"\btop[ _]?p\b"),
        ("max_output_tokens", r"max[ _]?output[ _]?tokens"),
        ("affective_dialog", r"affective"),
        ("proactive_audio", r"proactiv"),
        ("safety_settings", r"safety[ _]?settings?"),
        ("labels", r"\blabels?\b"),
        ("turn_coverage", r"turn[ _]?coverage"),
        ("activity_handling", r"activity[ _]?handling"),
        ("custom_words", r"custom[ _]?vocabulary|adaptation[ _]?phrase"),
        ("transcription_languages", r"language[ _]?(?:codes|hints?)|transcription"),
        ("language_code", r"language[ _]?code|\blanguages?\b"),
        ("sensitivities", r"sensitivit"),
        ("compression", r"context[ _]?window|sliding[ _]?window|compression"),
        ("history", r"history[ _]?config|initial[ _]?history"),
        ("blocking_tools", r"\bbehaviou?r\b|non_?blocking|\bblocking\b"),
    )
)
# The settings of those whose name is another one.
_SETTINGS: Final = {
    "sensitivities": "CALLBOT_VAD_START_SENSITIVITY and CALLBOT_VAD_END_SENSITIVITY (or set them to default)",
    "language_code": "CALLBOT_LANGUAGE",
    "custom_words": "CALLBOT_TRANSCRIPTION_WORDS",
    "safety_settings": "CALLBOT_SAFETY_THRESHOLD",
    "thinking": "CALLBOT_THINKING_LEVEL and CALLBOT_THINKING_BUDGET",
    "compression": "CALLBOT_COMPRESSION_TRIGGER_TOKENS (0 leaves it out)",
    "history": "nothing; it is left out by itself",
    "blocking_tools": "nothing; it is left out by itself",
}
# A name in quotation marks, as in: Unknown name "x" at 'setup.generation_config': Cannot find field.
_QUOTED: Final = re.compile(r"(?:unknown name|field|parameter|argument)s? [\"'`]([\w.\[\]]{1,60})[\"'`]")
_MISSING: Final = re.compile(r"\b(?:required|missing|must be (?:set|specified|provided))\b")

_TRACE: Final = re.compile(r"^.{0,20}trace.?id\s*[:=]?\s*\S*?[,;\s]+|\[original error\]\s*")
_IDS: Final = re.compile(r"\b(?=\w*\d)[\w-]{9,}\b")
_REMEDIES: Final = {
    _P.KEY: KEY_REMEDY,
    _P.BILLING: _BILLING_REMEDY,
    _P.QUOTA: QUOTA_REMEDY,
    _P.MODEL: _MODEL_REMEDY,
    _P.LOCATION: _LOCATION_REMEDY,
    _P.CREDENTIALS: _CREDENTIALS_REMEDY,
    _P.VOICE: "the model has no such voice: correct CALLBOT_VOICE, or unset it",
    _P.SETUP: _SETUP_REMEDY,
    _P.HANDLE: "",
}


def judge(reason: str, *, opening: bool) -> Judged | None:
    """What a reason's words say; None when they are unknown. Before setupComplete a named part of the set-up counts."""
    text = _folded(reason)
    for pattern, judged in _REASONS:
        if pattern.search(text):
            return judged
    if not opening:
        return None
    part, name = part_named(reason)
    if part is _P.SETUP:
        return None
    what = "voice" if part is _P.VOICE else f"field_{name}"
    return Judged(what, _D.RESUME, None, part, remedy_for(part, name), name)


def part_named(reason: str) -> tuple[RefusedPart, str]:
    """The part of the set-up that a refusal names, which the next one can leave out; SETUP when it names none.

    The name of a FIELD is one that `Capabilities.without` knows.
    """
    text = _folded(reason)
    if _MISSING.search(text):
        return _P.SETUP, ""  # leaving out more would not help
    quoted = _QUOTED.search(text)
    for name, pattern in _OPTIONAL:
        if quoted is not None and pattern.search(_snake(quoted[1])):
            return _P.FIELD, name
    if _VOICE.search(text):
        return _P.VOICE, "voice"
    for name, pattern in _OPTIONAL:
        if pattern.search(text):
            return _P.FIELD, name
    return _P.SETUP, ""


def remedy_for(part: RefusedPart, name: str = "") -> str:
    """What the operator can do about a part that was refused."""
    if part is _P.FIELD:
        return f"this model does not take {name.replace('_', ' ')}: unset {_SETTINGS.get(name, f'CALLBOT_{name.upper()}')}"
    return _REMEDIES[part]


def plain(reason: str) -> str:
    """A reason without what differs from one time to the next: trace prefix, case, ids and long numbers."""
    return " ".join(_IDS.sub("#", _folded(reason)).split())[:120]


def _folded(reason: str) -> str:
    return _TRACE.sub("", _snake(reason)).strip()


def _snake(text: str) -> str:
    """Lower case, with camelCase names taken apart: thinkingConfig and thinking_config are one name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower()
