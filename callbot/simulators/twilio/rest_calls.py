"""Calls as Twilio's REST API writes and reads them (its page "Call resource")."""

import datetime as dt
import email.utils
from collections.abc import Mapping, Sequence

from multidict import MultiMapping

from callbot.simulators.twilio.addresses import is_address
from callbot.simulators.twilio.call_requests import CallIdentity
from callbot.simulators.twilio.outbound import OutboundCall
from callbot.simulators.twilio.twiml_reader import CALL_EVENTS

NO_TO, NO_FROM, NO_INSTRUCTIONS, INVALID_URL, INVALID_EVENTS, INVALID_VALUE = 21201, 21213, 21205, 21205, 21626, 20001
PAGE_SIZE, MAX_PAGE_SIZE = 50, 1000


class OrderError(ValueError):
    """A call cannot be placed as asked; `code` is Twilio's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def read_order(fields: MultiMapping[str]) -> OutboundCall:
    """Return the order in the fields of `POST Calls.json`. Raises OrderError."""
    if not fields.get("To"):
        raise OrderError(NO_TO, "No 'To' number is specified")
    if not fields.get("From"):
        raise OrderError(NO_FROM, "No 'From' number is specified")
    url, twiml = fields.get("Url", ""), fields.get("Twiml", "")
    if not (url or twiml):
        raise OrderError(NO_INSTRUCTIONS, "Url parameter is required.")
    for name in ("Url", "StatusCallback", "AsyncAmdStatusCallback"):
        if fields.get(name) and not is_address(fields[name]):
            raise OrderError(INVALID_URL, f"{name} is not a valid URL: {fields[name]}")
    events = [event for text in fields.getall("StatusCallbackEvent", ["completed"]) for event in text.split()]
    if unknown := sorted(set(events) - set(CALL_EVENTS)):
        raise OrderError(INVALID_EVENTS, f"Invalid StatusCallbackEvent: {', '.join(unknown)}")
    detection = fields.get("MachineDetection", "")
    if detection not in {"", "Enable", "DetectMessageEnd"}:
        raise OrderError(INVALID_VALUE, f"MachineDetection {detection!r} is not Enable or DetectMessageEnd")
    return OutboundCall(
        fields["To"],
        fields["From"],
        url,
        fields.get("Method", "POST").upper(),
        twiml,
        fields.get("StatusCallback", ""),
        fields.get("StatusCallbackMethod", "POST").upper(),
        tuple(events),
        _seconds(fields, "Timeout", 60.0, 600.0),
        _seconds(fields, "TimeLimit", 14_400.0, 86_400.0),
        "" if fields.get("SendDigits") else detection,  # digits to send switch detection off
        fields.get("AsyncAmd", "").lower() == "true",
        fields.get("AsyncAmdStatusCallback", ""),
        fields.get("AsyncAmdStatusCallbackMethod", "POST").upper(),
    )


def call_resource(identity: CallIdentity, account_sid: str) -> dict[str, object]:
    """Return a call with the fields of the Call resource."""
    uri = f"/2010-04-01/Accounts/{account_sid}/Calls/{identity.call_sid}"
    over = identity.ended is not None
    return {
        "sid": identity.call_sid,
        "date_created": _date(identity.created),
        "date_updated": _date(identity.ended or identity.answered or identity.created),
        "parent_call_sid": identity.parent_sid or None,
        "account_sid": account_sid,
        "to": identity.to_number,
        "to_formatted": identity.to_number,
        "from": identity.from_number,
        "from_formatted": identity.from_number,
        "phone_number_sid": None,
        "status": identity.status,
        "start_time": _date(identity.answered),
        "end_time": _date(identity.ended),
        "duration": str(round(identity.duration_s)) if over else None,
        "price": None,
        "price_unit": "USD",
        "direction": identity.direction,
        "answered_by": identity.answered_by or None,
        "api_version": "2010-04-01",
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": "0",
        "trunk_sid": None,
        "uri": f"{uri}.json",
        "subresource_uris": {},
    }


def call_list(identities: Sequence[CallIdentity], path: str, query: Mapping[str, str], account_sid: str) -> dict[str, object]:
    """Return one page of calls that fit `To`, `From`, `Status` and `ParentCallSid`, the newest first."""
    wanted = {"To": "to_number", "From": "from_number", "Status": "status", "ParentCallSid": "parent_sid"}
    fitting = [
        identity
        for identity in identities
        if all(getattr(identity, field) == query[name] for name, field in wanted.items() if name in query)
    ]
    size = min(max(1, int(query["PageSize"])), MAX_PAGE_SIZE) if query.get("PageSize", "").isdecimal() else PAGE_SIZE
    page = int(query["Page"]) if query.get("Page", "").isdecimal() else 0
    shown = fitting[page * size : (page + 1) * size]

    def uri(number: int) -> str:
        return f"{path}?PageSize={size}&Page={number}"

    return {
        "calls": [call_resource(identity, account_sid) for identity in shown],
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": page * size + max(0, len(shown) - 1),
        "uri": uri(page),
        "first_page_uri": uri(0),
        "previous_page_uri": uri(page - 1) if page else None,
        "next_page_uri": uri(page + 1) if len(fitting) > (page + 1) * size else None,
    }


def _seconds(fields: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = fields.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise OrderError(INVALID_VALUE, f"{name} must be a whole number of seconds, not {text!r}")
    return min(float(text), most)


def _date(moment: dt.datetime | None) -> str | None:
    return None if moment is None else email.utils.format_datetime(moment)
