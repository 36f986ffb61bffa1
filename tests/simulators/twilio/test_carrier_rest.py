"""The REST stand-in, driven by Twilio's own client library, and the command."""

import asyncio
import wave
from pathlib import Path
from typing import Any

import pytest
from scripted_app import HEAR, PUBLIC, STAY, STREAM, TOKEN, AppSide, ScriptedApp, response, tone, ulaw_tone
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from callbot.simulators.twilio import ApiFailure, CallEnd, Carrier, RestApi, StreamEnd
from callbot.simulators.twilio.__main__ import main

CONNECT = response(f"<Connect>{STREAM}</Connect><Say>not after a redirect</Say>")


class LocalHttpClient(TwilioHttpClient):
    """Sends what is meant for api.twilio.com to the stand-in."""

    def __init__(self, origin: str) -> None:
        super().__init__(timeout=5)
        self._origin = origin

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._origin), *args, **kwargs)


def client(api: RestApi, carrier: Carrier, token: str = TOKEN) -> Client:
    return Client(carrier.options.account_sid, token, http_client=LocalHttpClient(api.url))


async def update(api: RestApi, carrier: Carrier, call_sid: str, token: str = TOKEN, **given: str) -> Any:
    return await asyncio.to_thread(lambda: client(api, carrier, token).calls(call_sid).update(**given))


@pytest.mark.parametrize("by_url", [False, True])
async def test_new_instructions_end_the_stream_before_they_run(by_url: bool) -> None:
    new = response("<Say>Transferring</Say><Dial>+15550100</Dial>")

    async def talk(app: AppSide) -> None:
        await app.until("media", 3)
        given = {"url": f"{PUBLIC}/transfer"} if by_url else {"twiml": new}
        await update(api, carrier, app.of("start")[0]["start"]["callSid"], **given)
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT, transfer=new) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:
            report = await carrier.call([STAY])
    kinds = [event.kind for event in report.timeline]
    assert kinds.index("redirected") < kinds.index("stop") < kinds.index("socket_closed") < kinds.index("say")
    assert report.said == ("Transferring",)
    assert report.streams[0].end is StreamEnd.REDIRECTED
    assert report.end is CallEnd.DOCUMENT
    assert app.sides[0].of("stop")
    assert len(report.events("dial")) == 1


async def test_a_call_is_ended_by_its_status_and_then_no_longer_found() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 3)
        call_sid = app.of("start")[0]["start"]["callSid"]
        found = await asyncio.to_thread(lambda: client(api, carrier).calls(call_sid).fetch())
        assert found.status == "in-progress"
        await update(api, carrier, call_sid, status="completed")
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:
            report = await carrier.call([STAY])
            assert report.end is CallEnd.API
            with pytest.raises(TwilioRestException) as caught:
                await update(api, carrier, report.call_sid, status="completed")
            assert (caught.value.status, caught.value.code) == (404, 20404)
            with pytest.raises(TwilioRestException) as caught:
                await update(api, carrier, "CA" + "0" * 32, status="completed")
            assert caught.value.code == 20404
            with pytest.raises(TwilioRestException) as caught:
                await update(api, carrier, report.call_sid, token="wrong", status="completed")
            assert (caught.value.status, caught.value.code) == (401, 20003)
            assert [request.status for request in api.requests] == [200, 200, 404, 404, 401]
        async with RestApi(carrier, over_code=21220) as api:
            with pytest.raises(TwilioRestException) as caught:
                await update(api, carrier, report.call_sid, status="completed")
            assert (caught.value.status, caught.value.code) == (400, 21220)


async def test_wrong_updates_and_an_api_out_of_order_change_nothing() -> None:
    errors: list[tuple[int, int]] = []

    async def talk(app: AppSide) -> None:
        await app.until("media", 3)
        call_sid = app.of("start")[0]["start"]["callSid"]
        wrong: list[dict[str, str]] = [
            {},
            {"twiml": "<Response/>", "url": PUBLIC},
            {"twiml": "x" * 4001},
            {"status": "over"},
            {"url": PUBLIC, "method": "PUT"},
            {"url": "bot.example/twiml"},
            {"url": "https://bot.example:port/"},
        ]
        for given in wrong:
            with pytest.raises(TwilioRestException) as caught:
                await update(api, carrier, call_sid, **given)
            errors.append((caught.value.status, caught.value.code))
        api.failure = ApiFailure(delay_s=0.01, status=503)
        with pytest.raises(TwilioRestException) as caught:
            await update(api, carrier, call_sid, status="completed")
        errors.append((caught.value.status, caught.value.code))
        await app.say(ulaw_tone(100))
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:
            report = await carrier.call([HEAR])
    assert errors == [(400, 20001)] * 5 + [(400, 21205)] * 2 + [(503, 20500)]
    assert report.end is CallEnd.CALLER


def write_wav(path: Path, samples: bytes) -> str:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples)
    return str(path)


async def test_the_command_places_a_call_and_tells_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 15)
        await app.say(ulaw_tone(100), "m")
        await app.drain()

    monkeypatch.setenv("MY_TOKEN", TOKEN)
    async with ScriptedApp(talk, twiml=CONNECT) as app:
        given = ["--connect-to", app.url, "--public-url", PUBLIC, "--auth-token-env", "MY_TOKEN", "--quiet-ms", "200"]
        given += ["--save", str(tmp_path / "call.wav"), write_wav(tmp_path / "hello.wav", tone(200))]
        assert await asyncio.to_thread(main, given) == 0
        text = capsys.readouterr().out
        assert "hello.wav: 0." in text
        assert "Violations: none" in text
        assert TOKEN not in text
        with wave.open(str(tmp_path / "call.wav")) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        app.answers["/twiml"] = ["<Response>"]
        assert await asyncio.to_thread(main, given) == 1
        assert "12100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("token", "connect_to", "wav", "reason"),
    [
        ("", "http://127.0.0.1:1", "good.wav", "set TWILIO_AUTH_TOKEN in the environment"),
        ("t", "127.0.0.1:1", "good.wav", "connect_to must look like"),
        ("t", "http://127.0.0.1:1", "missing.wav", "cannot be read"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    token: str,
    connect_to: str,
    wav: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", token)
    write_wav(tmp_path / "good.wav", tone(20))
    with pytest.raises(SystemExit) as caught:
        main(["--connect-to", connect_to, "--public-url", PUBLIC, str(tmp_path / wav)])
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


def test_an_app_that_is_not_there_is_reported_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "t")
    path = write_wav(tmp_path / "a.wav", tone(20))
    assert main(["--connect-to", "http://127.0.0.1:1", "--public-url", PUBLIC, path]) == 1
    assert "11205 no connection" in capsys.readouterr().out
