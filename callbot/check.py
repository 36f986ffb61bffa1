"""`callbot check`: is this configuration able to take a call, and what is missing?

Each line is ok, a warning or an error with its remedy; any error makes the exit code 1, wrong settings 2. It reaches out to
what a call needs: the model (opens a session and has it speak), Redis when it is set, Twilio's API (who the credentials are of,
which numbers point here, and how far the clock is off), and its own WebSocket through SERVICE_URL, signed as Twilio signs.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from callbot.default_brief import brief_of
from callbot.gemini.client import tls_context
from callbot.gemini.connector import Connector
from callbot.gemini.failures import classify
from callbot.gemini.session_config import SessionOrder
from callbot.messages.terms import Decision
from callbot.preflight import problems_before_serving
from callbot.settings import Settings
from callbot.settings_loading import SettingsError, load
from callbot.tools import standard_toolbox
from callbot.wire.gemini.model_message import ModelMessage
from callbot.wire.reading import Unreadable

_TIMEOUT_S: Final = 8.0
# Twilio's requests carry no time, but tokens and Google's credentials do; a minute off breaks the latter.
_MAX_SKEW_S: Final = 30.0
_TWILIO_API: Final = "https://api.twilio.com/2010-04-01"


class Verdict(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do when it does not."""

    verdict: Verdict
    subject: str
    detail: str
    remedy: str = ""


def run_check(*, offline: bool) -> int:
    """Look at everything and print it; returns the exit code."""
    console = Console(highlight=False)
    try:
        settings = load()
    except SettingsError as error:
        for problem in error.problems:
            _print(console, Finding(Verdict.ERROR, "settings", problem))
        return 2
    problems = problems_before_serving(settings)
    for problem in problems:
        what, _, remedy = problem.partition(": ")
        _print(console, Finding(Verdict.ERROR, "settings", what, remedy))
    if not problems:
        _print(console, Finding(Verdict.OK, "settings", f"{settings.backend} back end, model {settings.model}"))
    if settings.insecure:
        _print(console, Finding(Verdict.WARNING, "security", "CALLBOT_INSECURE is set", "anyone can open a stream; unset it"))
    if offline:
        return 2 if problems else 0
    worst = asyncio.run(_reach_out(console, settings))
    if problems:
        return 2
    return 1 if worst is Verdict.ERROR else 0


async def _reach_out(console: Console, settings: Settings) -> Verdict:
    worst = Verdict.OK
    async for finding in _findings(settings):
        _print(console, finding)
        if finding.verdict is Verdict.ERROR:
            worst = Verdict.ERROR
    return worst


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    async for finding in _model(settings):
        yield finding
    if settings.redis_url is not None:
        yield await _store(settings)
    async for finding in _twilio(settings):
        yield finding
    if settings.service_url and settings.twilio_auth_token:
        yield await _loop(settings)


async def _model(settings: Settings) -> AsyncIterator[Finding]:
    """Open a session as a call does, and have it speak: a voice that the model does not have shows only then."""
    brief = brief_of(settings)
    connector = Connector(settings, brief, standard_toolbox().tools)
    clock = asyncio.get_running_loop().time
    began_s = clock()
    subject = "model"
    try:
        link = await connector.open(SessionOrder("check", brief))
        try:
            yield Finding(Verdict.OK, subject, f"{settings.model} opened a session in {int((clock() - began_s) * 1000)} ms")
            subject = "voice"
            asked_s = clock()
            async with asyncio.timeout(_TIMEOUT_S):
                await link.ask("Say one short word.")
                while not _speaks(await link.receive()):
                    pass
        finally:
            await link.close(1.0)
    except Exception as error:  # noqa: BLE001 - every way of failing is judged by one table, and told with a remedy
        failure = classify(error, opened=subject == "voice")
        remedy = failure.remedy or _remedies(failure.decision, subject)
        yield Finding(Verdict.ERROR, subject, f"{_model_host(settings)}: {failure.cause}: {failure.detail}", remedy)
        return
    voice = settings.voice or "the model's own voice"
    yield Finding(Verdict.OK, subject, f"{voice} spoke {int((clock() - asked_s) * 1000)} ms after it was asked")


def _speaks(message: ModelMessage | Unreadable) -> bool:
    return isinstance(message, ModelMessage) and bool(message.audio)


def _remedies(decision: Decision, subject: str) -> str:
    """What helps where the table of failures has nothing but to wait."""
    if subject == "voice":
        return "set CALLBOT_VOICE to a voice that this model has, or leave it out"
    if decision is Decision.GIVE_UP:
        return "the service refuses this configuration: key, project, location and model have to fit together"
    return "the service or the way to it is in trouble: try again in a minute"


def _model_host(settings: Settings) -> str:
    if settings.use_vertexai:
        return urlsplit(settings.vertex_base_url).hostname or f"{settings.google_cloud_location}-aiplatform.googleapis.com"
    return urlsplit(settings.gemini_base_url).hostname or "generativelanguage.googleapis.com"


async def _store(settings: Settings) -> Finding:
    """One question to Redis. Calls are carried without it, but whoever has set it wants it."""
    from callbot.store.redis_link import RedisLink, StoreFault

    assert settings.redis_url is not None, "asked only when it is set"  # noqa: S101 - the type checker's
    remedy = "is REDIS_URL's address right, its password, and the way there open?"
    host = urlsplit(settings.redis_url.get_secret_value()).hostname or "its socket"
    try:
        link = RedisLink(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s, keep_s=1)
    except ValueError:
        return Finding(Verdict.ERROR, "store", "REDIS_URL is no address", "write it as redis://[:password@]host:port/number")
    try:
        await link.probe()
    except StoreFault as fault:
        return Finding(Verdict.ERROR, "store", f"{host}: Redis does not answer ({fault.cause})", remedy)
    finally:
        await link.close()
    return Finding(Verdict.OK, "store", "Redis answers")


async def _twilio(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.twilio_account_sid or not settings.twilio_auth_token:
        yield Finding(
            Verdict.WARNING, "twilio", "TWILIO_ACCOUNT_SID is not set", "set it, so that streams of other accounts are refused"
        )
        return
    client = TwilioHttpClient(timeout=_TIMEOUT_S)
    url = f"{_TWILIO_API}/Accounts/{settings.twilio_account_sid}.json"
    for number, token in enumerate(settings.twilio_auth_token, start=1):
        try:
            answer = await asyncio.to_thread(
                client.request, "GET", url, auth=(settings.twilio_account_sid, token.get_secret_value())
            )
        except (OSError, TwilioException) as error:  # requests' errors are OSErrors
            host = urlsplit(_TWILIO_API).hostname
            yield Finding(Verdict.WARNING, "twilio", f"{host} cannot be reached ({type(error).__name__})", "check the network")
            return
        account = _account(number, answer)
        yield account
        yield _clock((answer.headers or {}).get("Date", ""))
        if account.verdict is Verdict.OK and number == 1 and settings.service_url:
            async for finding in _numbers(settings, client, token.get_secret_value()):
                yield finding


async def _numbers(settings: Settings, client: TwilioHttpClient, token: str) -> AsyncIterator[Finding]:
    """Which of the account's numbers lead here, and which only nearly."""
    auth = (settings.twilio_account_sid, token)
    path = f"/2010-04-01/Accounts/{settings.twilio_account_sid}/IncomingPhoneNumbers.json?PageSize=200"
    origin = _TWILIO_API.removesuffix("/2010-04-01")
    found = 0
    while path:
        try:
            answer = await asyncio.to_thread(client.request, "GET", origin + path, auth=auth)
            page = json.loads(answer.text) if answer.status_code == 200 else None
        except (OSError, TwilioException, ValueError):
            page = None
        if not isinstance(page, dict):
            yield Finding(
                Verdict.WARNING, "numbers", "the account's numbers cannot be listed", "look at them in Twilio's console"
            )
            return
        for entry in page.get("incoming_phone_numbers") or []:
            if finding := _number(settings, entry):
                found += 1
                yield finding
        path = page.get("next_page_uri") or ""
    if not found:
        remedy = f"in Twilio's console set a number's voice webhook to {settings.public_url}/twiml (POST)"
        yield Finding(Verdict.WARNING, "numbers", "none of the account's numbers points here", remedy)


def _number(settings: Settings, entry: dict[str, Any]) -> Finding | None:
    """How a number stands that points at us; None for one that points elsewhere."""
    number, url = str(entry.get("phone_number", "")), str(entry.get("voice_url") or "")
    hosts = {urlsplit(origin).hostname for origin in settings.service_url}
    if urlsplit(url).hostname not in hosts:
        return None
    remedy = f"set its voice webhook to {settings.public_url}/twiml (POST)"
    if entry.get("voice_application_sid") or entry.get("trunk_sid"):
        return Finding(Verdict.ERROR, "numbers", f"{number} has a TwiML app or a trunk, which goes before its webhook", remedy)
    if url not in {f"{origin}/twiml" for origin in settings.service_url}:
        return Finding(Verdict.ERROR, "numbers", f"{number} points at {url}, where callbot has no webhook", remedy)
    if entry.get("voice_method") != "POST":
        return Finding(Verdict.ERROR, "numbers", f"{number} calls {url} with {entry.get('voice_method')}", remedy)
    if not str(entry.get("status_callback") or "").endswith("/twilio/status"):
        remedy = f"set its status callback to {settings.public_url}/twilio/status (POST): a call that ends early is then known"
        return Finding(Verdict.WARNING, "numbers", f"{number} points here, without a status callback", remedy)
    return Finding(Verdict.OK, "numbers", f"{number} points at {url}")


def _account(number: int, answer: Response) -> Finding:
    if answer.status_code in {401, 403, 404}:
        return Finding(
            Verdict.ERROR,
            "twilio",
            f"the account refuses auth token number {number}",
            "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN from the console; during a rotation remove the old one",
        )
    if answer.status_code != 200:
        return Finding(Verdict.WARNING, "twilio", f"its API answered {answer.status_code}", "see status.twilio.com")
    account = json.loads(answer.text)
    if account.get("type") == "Trial":
        return Finding(
            Verdict.ERROR, "twilio", "this is a trial account: Twilio takes <Stream> out of its calls", "upgrade the account"
        )
    return Finding(Verdict.OK, "twilio", f"account {account.get('status', 'known')}")


def _clock(date: str) -> Finding:
    try:
        skew_s = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    except ValueError:
        return Finding(Verdict.WARNING, "clock", "no time to compare with")
    if skew_s > _MAX_SKEW_S:
        return Finding(Verdict.ERROR, "clock", f"off by {skew_s:.0f} s", "set this machine's clock (NTP)")
    return Finding(Verdict.OK, "clock", f"within {skew_s:.0f} s of Twilio's")


async def _loop(settings: Settings) -> Finding:
    """Dial our own WebSocket the way Twilio will: through the public address, signed."""
    url = settings.stream_url
    validator = RequestValidator(settings.twilio_auth_token[0].get_secret_value())
    signature = validator.compute_signature(url, {})
    context = tls_context(settings) if urlsplit(url).scheme == "wss" else None
    remedy = "start callbot there, or set SERVICE_URL to the address that reaches it"
    try:
        async with connect(
            url, additional_headers={"X-Twilio-Signature": signature}, ssl=context, open_timeout=_TIMEOUT_S, compression=None
        ):
            return Finding(Verdict.OK, "address", f"{url} answers and takes Twilio's signature")
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 403:
            remedy = "the server there uses another TWILIO_AUTH_TOKEN or SERVICE_URL: make them the same"
        return Finding(Verdict.ERROR, "address", f"{url} answered {status} instead of 101", remedy)
    except (InvalidHandshake, OSError, TimeoutError) as error:
        return Finding(Verdict.ERROR, "address", f"{url} cannot be reached ({type(error).__name__})", remedy)


def _print(console: Console, finding: Finding) -> None:
    colour = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.ERROR: "red"}[finding.verdict]
    console.print(
        f"[{colour}]{finding.verdict.value:<8}[/{colour}] {finding.subject:<9} {escape(finding.detail)}", soft_wrap=True
    )
    if finding.remedy:
        console.print(f"{'':18} -> {escape(finding.remedy)}", soft_wrap=True)
