"""`callbot check` against what it reaches out to: a model's stand-in over TLS, and an API of Twilio's shape."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from callbot import check
from callbot.check import Finding, Verdict
from callbot.settings import Settings
from callbot.settings_loading import load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions

SID = "AC" + "0" * 32
ORIGIN = "https://bot.example"
GOOD = {
    "phone_number": "+14155550100",
    "voice_url": f"{ORIGIN}/twiml",
    "voice_method": "POST",
    "status_callback": f"{ORIGIN}/twilio/status",
}


def settings(**values: Any) -> Settings:
    base = {"twilio_account_sid": SID, "twilio_auth_token": "0" * 32, "service_url": ORIGIN, "gemini_api_key": "k"}
    return load(_env_file=None, **base | values)


@asynccontextmanager
async def twilio_api(monkeypatch: pytest.MonkeyPatch, pages: list[list[dict[str, Any]]]) -> AsyncIterator[None]:
    async def account(request: web.Request) -> web.Response:
        user = base64.b64decode(request.headers["Authorization"].split()[1]).decode()
        if user != f"{SID}:{'0' * 32}":
            return web.json_response({"code": 20003}, status=401)
        return web.json_response({"type": "Full", "status": "active"})

    async def numbers(request: web.Request) -> web.Response:
        page = int(request.query.get("Page", 0))
        next_page = f"{request.path}?Page={page + 1}" if page + 1 < len(pages) else None
        return web.json_response({"incoming_phone_numbers": pages[page], "next_page_uri": next_page})

    app = web.Application()
    app.router.add_get(f"/2010-04-01/Accounts/{SID}.json", account)
    app.router.add_get(f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json", numbers)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setattr(check, "_TWILIO_API", f"http://127.0.0.1:{port}/2010-04-01")
    try:
        yield
    finally:
        await runner.cleanup()


async def found(findings: AsyncIterator[Finding]) -> list[tuple[Verdict, str, str]]:
    return [(each.verdict, each.subject, each.detail) async for each in findings]


async def test_the_accounts_numbers_that_point_here_are_named_over_all_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = GOOD | {"phone_number": "+14155550199", "voice_url": "https://other.example/twiml"}
    second = GOOD | {"phone_number": "+14155550101", "status_callback": ""}
    async with twilio_api(monkeypatch, [[GOOD, elsewhere], [second]]):
        said = await found(check._twilio(settings()))
    assert [each for each in said if each[1] == "numbers"] == [
        (Verdict.OK, "numbers", "+14155550100 points at https://bot.example/twiml"),
        (Verdict.WARNING, "numbers", "+14155550101 points here, without a status callback"),
    ]
    assert (Verdict.OK, "twilio", "account active") in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"voice_url": f"{ORIGIN}/voice"}, "points at https://bot.example/voice, where callbot has no webhook"),
        ({"voice_url": "http://bot.example/twiml"}, "points at http://bot.example/twiml, where callbot has no webhook"),
        ({"voice_method": "GET"}, "calls https://bot.example/twiml with GET"),
        ({"voice_application_sid": "AP0"}, "has a TwiML app or a trunk, which goes before its webhook"),
    ],
)
async def test_a_number_that_nearly_points_here_is_an_error(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], said: str
) -> None:
    async with twilio_api(monkeypatch, [[GOOD | wrong]]):
        findings = await found(check._twilio(settings()))
    assert (Verdict.ERROR, "numbers", f"+14155550100 {said}") in findings


async def test_no_number_that_points_here_is_a_warning_that_says_where_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twilio_api(monkeypatch, [[]]):
        findings = [each async for each in check._twilio(settings())]
    (numbers,) = (each for each in findings if each.subject == "numbers")
    assert numbers.verdict is Verdict.WARNING
    assert "https://bot.example/twiml (POST)" in numbers.remedy


async def test_a_wrong_token_is_an_error_and_its_numbers_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twilio_api(monkeypatch, [[GOOD]]):
        findings = await found(check._twilio(settings(twilio_auth_token="1" * 32)))
    assert (Verdict.ERROR, "twilio", "the account refuses auth token number 1") in findings
    assert all(subject != "numbers" for _, subject, _ in findings)


@pytest.mark.live
async def test_the_model_is_made_to_speak() -> None:
    async with GeminiStandIn(StandInOptions()) as standin:
        findings = await found(
            check._model(settings(gemini_base_url=standin.base_url, ssl_cert_file=str(standin.ca_pem_path), voice="Puck"))
        )
    assert [(verdict, subject) for verdict, subject, _ in findings] == [(Verdict.OK, "model"), (Verdict.OK, "voice")]
    assert findings[1][2].startswith("Puck spoke ")


async def test_a_model_that_cannot_be_reached_is_told_with_its_host(unused_tcp_port: int) -> None:
    findings = [each async for each in check._model(settings(gemini_base_url=f"http://127.0.0.1:{unused_tcp_port}"))]
    assert [each.verdict for each in findings] == [Verdict.ERROR]
    assert findings[0].detail.startswith("127.0.0.1: ")
    assert findings[0].remedy
