"""The part of Twilio's REST API that is about calls: `Calls.json` and `Calls/{sid}.json`, served on a local port.

POST on the list places a call, GET lists them; POST on a call takes `Twiml` or `Url` (with `Method`), or `Status`, GET
tells about it. Errors come as Twilio's JSON: 20003 wrong credentials, 20404 no such call or a call that is over.
"""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from aiohttp import web
from multidict import MultiDict

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import is_address
from callbot.simulators.twilio.call import Call
from callbot.simulators.twilio.call_requests import Document
from callbot.simulators.twilio.carrier import Carrier
from callbot.simulators.twilio.rest_calls import OrderError, call_list, call_resource, read_order

INVALID_PARAMETER, WRONG_CREDENTIALS, NOT_FOUND, INVALID_URL, CALL_OVER = 20001, 20003, 20404, 21205, 21220
MAX_TWIML_CHARACTERS = 4000  # Twilio's Call resource page
_LIST = "/2010-04-01/Accounts/{account_sid}/Calls.json"
_RECORDINGS = (
    "/2010-04-01/Accounts/{account_sid}/Recordings.json",
    "/2010-04-01/Accounts/{account_sid}/Recordings/{file}",
    "/2010-04-01/Accounts/{account_sid}/Calls/{call_sid}/Recordings.json",
)
_ROUTE = "/2010-04-01/Accounts/{account_sid}/Calls/{call_sid}.json"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request as it arrived, and the HTTP status it got."""

    method: str
    call_sid: str
    fields: tuple[tuple[str, str], ...]
    status: int


@dataclass(frozen=True, slots=True)
class ApiFailure:
    """Makes the API answer every update late (`delay_s`) or, with `status`, not do it at all."""

    delay_s: float = 0.0
    status: int = 0
    code: int = 20500


class _ApiError(Exception):
    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code

    def body(self) -> dict[str, object]:
        """What the API answers, in Twilio's form."""
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        return {"code": self.code, "message": str(self), "more_info": more, "status": self.status}


class RestApi:
    """An async context manager that serves the API; `url` is its origin.

    `api_keys` maps further user names (`SK...`) to their secrets; account sid and auth token always work.
    `failure` may be set and reset at any time. With `over_code=21220` updates of a call that is over get the
    documented answer (HTTP 400) instead of the one that users report (404, 20404).
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Mapping[str, str] | None = None,
        over_code: int = NOT_FOUND,
    ) -> None:
        self.requests: list[ApiRequest] = []
        self.failure: ApiFailure | None = None
        self.url = ""
        self._carrier = carrier
        self._host, self._port = host, port
        self._secrets = {carrier.options.account_sid: carrier.options.auth_token, **(api_keys or {})}
        self._over_code = over_code
        app = web.Application()
        app.add_routes([web.get(route, self._handle_recordings) for route in _RECORDINGS])
        app.add_routes([make(route, self._handle) for route in (_LIST, _ROUTE) for make in (web.post, web.get)])
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = MultiDict((name, value) for name, value in form.items() if isinstance(value, str))
        call_sid = request.match_info.get("call_sid", "")
        try:
            self._check_credentials(request)
            self._check_account(request)
            body = await self._act(request, call_sid, fields) if call_sid else self._act_on_list(request, fields)
            status = 201 if request.method == "POST" and not call_sid else 200
        except _ApiError as error:
            status, body = error.status, error.body()
        self.requests.append(ApiRequest(request.method, call_sid, tuple(fields.items()), status))
        return web.json_response(body, status=status)

    async def _handle_recordings(self, request: web.Request) -> web.Response:
        try:
            self._check_credentials(request)
            self._check_account(request)
            return self._recordings(request)
        except _ApiError as error:
            return web.json_response(error.body(), status=error.status)

    def _recordings(self, request: web.Request) -> web.Response:
        kept = self._carrier.recordings
        if "file" not in request.match_info:
            found = kept.of(request.match_info.get("call_sid", ""))
            page = {"page": 0, "page_size": max(50, len(found)), "uri": request.path, "next_page_uri": None}
            return web.json_response({"recordings": [recording.resource() for recording in found], **page})
        sid, _, kind = request.match_info["file"].partition(".")
        recording = kept.find(sid)
        if recording is None or kind not in {"", "wav", "json"}:
            raise _ApiError(404, NOT_FOUND, f"The requested resource {request.path} was not found")
        if kind == "json":
            return web.json_response(recording.resource())
        return web.Response(body=recording.wav(), content_type="audio/x-wav")

    def _check_credentials(self, request: web.Request) -> None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user, secret = "", ""
        expected = self._secrets.get(user)
        if scheme.lower() != "basic" or expected is None or not hmac.compare_digest(expected, secret):
            raise _ApiError(401, WRONG_CREDENTIALS, "Authenticate")

    def _check_account(self, request: web.Request) -> None:
        if request.match_info["account_sid"] != self._carrier.options.account_sid:
            raise _ApiError(404, NOT_FOUND, f"The requested resource {request.path} was not found")

    async def _act(self, request: web.Request, call_sid: str, fields: Mapping[str, str]) -> dict[str, object]:
        identity = self._carrier.identity(call_sid)
        if identity is None:
            raise _ApiError(404, NOT_FOUND, f"The requested resource {request.path} was not found")
        if request.method == "POST":
            await self._update(self._carrier.live(call_sid), request.path, fields)
        return call_resource(identity, self._carrier.options.account_sid)

    def _act_on_list(self, request: web.Request, fields: "MultiDict[str]") -> dict[str, object]:
        account_sid = self._carrier.options.account_sid
        if request.method == "POST":
            try:
                order = read_order(fields)
            except OrderError as wrong:
                raise _ApiError(400, wrong.code, str(wrong)) from wrong
            identity = self._carrier.identity(self._carrier.create(order))
            assert identity is not None
            return call_resource(identity, account_sid)
        return call_list(self._carrier.identities(), request.path, request.query, account_sid)

    async def _update(self, call: Call | None, path: str, fields: Mapping[str, str]) -> None:
        if self.failure is not None:
            await asyncio.sleep(self.failure.delay_s)
            if self.failure.status:
                raise _ApiError(self.failure.status, self.failure.code, "An internal server error has occurred")
        if call is None:
            if self._over_code == CALL_OVER:
                raise _ApiError(400, CALL_OVER, "Call is not in-progress. Cannot redirect.")
            raise _ApiError(404, NOT_FOUND, f"The requested resource {path} was not found")
        text, url, status = fields.get("Twiml", ""), fields.get("Url", ""), fields.get("Status", "")
        if sum(map(bool, (text, url, status))) != 1:
            raise _ApiError(400, INVALID_PARAMETER, "Give exactly one of Twiml, Url and Status")
        if status:
            if status not in {"completed", "canceled"}:
                raise _ApiError(400, INVALID_PARAMETER, f"Status {status!r} is not completed or canceled")
            if status == "completed" or call.identity.status in {"queued", "ringing"}:
                call.complete()
            return
        if len(text) > MAX_TWIML_CHARACTERS:
            raise _ApiError(400, INVALID_PARAMETER, f"Twiml is longer than {MAX_TWIML_CHARACTERS} characters")
        if text:
            call.redirect(Document(text, self._carrier.options.public_url))
            return
        method = fields.get("Method", "POST").upper()
        if method not in {"GET", "POST"}:
            raise _ApiError(400, INVALID_PARAMETER, f"Method {method!r} is not GET or POST")
        if urlsplit(url).scheme not in {"http", "https"} or not is_address(url):
            raise _ApiError(400, INVALID_URL, "Url is not a valid URL")
        call.redirect(twiml.Redirect(url, method))  # it is fetched by the call, and fails there
