"""What is a violation, what a remark, and what goes on all the same."""

import base64
import itertools
from typing import Any

import audioop
import pytest
from scripted_app import HEAR, PUBLIC, STAY, STREAM, AppSide, ScriptedApp, listen, response, tone, ulaw_tone
from test_carrier_rest import update

from callbot.simulators.twilio import (
    WITHHELD_NUMBERS,
    BargeIn,
    CallEnd,
    EndStream,
    HangUpStyle,
    LineModel,
    Mute,
    OtherTrack,
    Press,
    RestApi,
    Silence,
    StreamEnd,
    WaitForStream,
    WaitUntilBotQuiet,
    describe,
    problems,
    remarks,
)

CONNECT = response(f"<Connect>{STREAM}</Connect>")


async def talk_for_ever(app: AppSide) -> None:
    await app.until("media", 5)
    await app.say(ulaw_tone(6000), "m")
    await app.drain()


async def stop_when_spoken_to(app: AppSide) -> None:
    await app.until("media", 5)
    await app.say(ulaw_tone(6000), "m")
    while True:
        message = await app.receive()
        if message is None:
            return None
        if message.get("event") == "media":
            frame = audioop.ulaw2lin(base64.b64decode(message["media"]["payload"]), 2)
            if audioop.rms(frame, 2) > 1000:
                await app.clear()
                return await app.drain()


async def test_a_bot_that_is_never_cleared_is_the_first_violation() -> None:
    async with ScriptedApp(talk_for_ever, twiml=CONNECT) as app:
        report = await app.carrier().call([BargeIn(tone(900), after_ms=300, name="stop"), WaitUntilBotQuiet(300)])
    assert problems(report)[0].startswith("never cleared: the caller said 'stop' at ")
    assert report.utterances[0].talked_over_ms > 4000
    assert "Violations: 1" in describe(report)


async def test_a_bot_that_stops_or_hears_only_a_murmur_is_none() -> None:
    async with ScriptedApp(stop_when_spoken_to, twiml=CONNECT) as app:
        report = await app.carrier().call([BargeIn(tone(900), after_ms=300), WaitUntilBotQuiet(300)])
    assert problems(report) == []
    async with ScriptedApp(talk_for_ever, twiml=CONNECT) as app:
        report = await app.carrier().call([BargeIn(tone(250), after_ms=300, name="mm-hmm"), WaitUntilBotQuiet(300)])
    assert problems(report) == []


async def test_a_partial_last_frame_is_a_remark() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 5)
        await app.say(ulaw_tone(200)[:-33], "m")
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        report = await app.carrier().call([HEAR, WaitUntilBotQuiet(300)])
    assert problems(report) == []
    assert remarks(report) == ["1 time(s) the queue ended inside a 20 ms frame"]
    assert "Remarks: 1" in describe(report)


async def test_a_call_that_ends_in_an_apology_is_a_violation_and_a_transfer_is_none() -> None:
    async def hello_and_close(app: AppSide) -> None:
        await app.until("media", 5)
        await app.say(ulaw_tone(100), "m")
        await app.until("mark")

    connect = response(f'<Connect action="/next">{STREAM}</Connect>')
    for next_, accused in (
        ("<Say>We are sorry.</Say><Hangup/>", True),
        ("<Say>We are sorry.</Say>", True),
        ("<Hangup/>", False),
        ("<Say>I put you through.</Say><Dial>+15550100</Dial>", False),
    ):
        async with ScriptedApp(hello_and_close, twiml=connect, next=response(next_)) as app:
            report = await app.carrier().call([STAY])
        assert [text for text in problems(report) if "announcement" in text] == [
            "the app ended the call with an announcement behind its stream: 'We are sorry.'"
        ] * accused


@pytest.mark.parametrize(
    "url",
    [
        "wss://[bad/ws", "wss://bot.example:99999/ws", "wss://bot.example:port/ws", "wss:///ws", "wss://bot example/ws",
        "wss://bot.example:0/ws", "wss://" + "x" * 70 + ".example/ws", "wss://[::1/ws", "wss://..example/",
    ],
)  # fmt: skip
async def test_a_stream_address_that_cannot_be_dialled_is_31923_and_the_call_goes_on(url: str) -> None:
    stream = f'<Stream url="{url}" statusCallback="/events"/>'
    async with ScriptedApp(twiml=response(f"<Connect>{stream}</Connect>", "<Say>behind it</Say>"), events="") as app:
        report = await app.carrier().call([])
        assert [r.form["StreamError"][:5] for r in app.requests("/events")] == ["31923"]
    assert report.streams[0].debugger == (31923,)
    assert report.said == ("behind it",)
    assert any("31923" in problem for problem in problems(report))


@pytest.mark.parametrize(
    "verb",
    [
        '<Redirect>https://bot.example:port/</Redirect>', '<Dial action="https://[bad/">+1</Dial>',
        f'<Connect action="https://[bad/">{STREAM}</Connect>',
        f'<Connect>{STREAM.replace("/>", " ")} statusCallback="https://[bad/"/></Connect>',
    ],
)  # fmt: skip
async def test_other_addresses_that_cannot_be_asked_crash_nothing(verb: str) -> None:
    async def close(app: AppSide) -> None:
        await app.until("media", 2)

    async with ScriptedApp(close, twiml=response(verb)) as app:
        report = await app.carrier().call([STAY])
    assert report.end in {CallEnd.APPLICATION_ERROR, CallEnd.DOCUMENT}
    if report.end is CallEnd.APPLICATION_ERROR:
        assert "11100" in report.events("application_error")[0].detail


async def test_a_schema_warning_does_not_end_the_call() -> None:
    document = response("<Oops/>", '<Say Voice="x">hello</Say>', f"<Connect>{STREAM}</Connect>")
    async with ScriptedApp(twiml=document) as app:
        report = await app.carrier().call([Silence(100)])
    assert report.said == ("hello",)
    assert report.end is CallEnd.CALLER
    assert sorted(problem[:6] for problem in problems(report) if problem.startswith("12200")) == ["12200 "] * 2


async def test_what_the_stand_in_cannot_perform_is_its_own_limit_and_no_fault_of_the_app() -> None:
    document = response('<Pay paymentConnector="x"/>', f"<Connect>{STREAM}</Connect>")
    async with ScriptedApp(stop_when_spoken_to, twiml=document) as app:
        report = await app.carrier().call([HEAR])
    assert problems(report) == []
    assert "<Pay> is valid TwiML; this stand-in cannot perform it" in remarks(report)[0]


@pytest.mark.parametrize("style", [HangUpStyle.RESET, HangUpStyle.CLOSE_WITHOUT_STOP, HangUpStyle.STOP_THEN_CLOSE])
@pytest.mark.parametrize("way", ["action", "next verb"])
async def test_a_stream_that_ends_while_the_call_goes_on_is_followed_by_what_comes_next(style: HangUpStyle, way: str) -> None:
    if way == "action":
        first = response(f'<Connect action="/next">{STREAM}</Connect>')
    else:
        first = response(f"<Connect>{STREAM}</Connect>", "<Redirect>/next</Redirect>")
    async with ScriptedApp(listen, twiml=first, next=CONNECT) as app:
        report = await app.carrier().call([WaitForStream(2), Silence(100)], faults=[EndStream(100, style, stream=1)])
        (asked,) = app.requests("/next")
    assert asked.form["CallStatus"] == "in-progress"
    assert asked.form["CallSid"] == report.call_sid
    assert [stream.end for stream in report.streams] == [StreamEnd.INJECTED, StreamEnd.HUNG_UP]


async def test_a_call_comes_back_to_its_voice_url_while_it_is_in_progress() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:

            async def script(line: Any) -> None:
                await line.wait_for_stream(1)
                await update(api, carrier, next(iter(carrier._live)), url=f"{PUBLIC}/twiml")
                await line.wait_for_stream(2)
                await line.silence(100)

            report = await carrier.call(script)
        forms = [request.form for request in app.requests("/twiml")]
    assert [form["CallStatus"] for form in forms] == ["ringing", "in-progress"]
    assert {form["CallSid"] for form in forms} == {report.call_sid}
    assert report.streams[0].end is StreamEnd.REDIRECTED


async def test_instructions_that_cannot_be_fetched_fail_in_the_call_and_not_in_the_api() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:

            async def script(line: Any) -> None:
                await line.wait_for_stream(1)
                await update(api, carrier, next(iter(carrier._live)), url=f"{PUBLIC}/missing")
                await line.stay()

            report = await carrier.call(script)
        assert api.requests[0].status == 200
    assert report.end is CallEnd.APPLICATION_ERROR
    assert "11200" in report.events("application_error")[0].detail


async def test_frames_of_the_other_track_lie_among_the_callers() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        await app.carrier().call([Silence(400)], faults=[OtherTrack(100, frames=5)])
    media = [m["media"] for m in app.sides[0].of("media")]
    other = [m for m in media if m["track"] == "outbound"]
    assert len(other) == 5
    assert all(audioop.rms(audioop.ulaw2lin(base64.b64decode(m["payload"]), 2), 2) > 5000 for m in other)
    stamps = [int(m["timestamp"]) for m in media if m["track"] == "inbound"]
    assert {b - a for a, b in itertools.pairwise(stamps)} == {20}


async def test_a_muted_line_sends_nothing_and_its_stamps_jump() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        await app.carrier(speed=50).call([Silence(12_000)], faults=[Mute(500, 10_000)])
    media = [m["media"] for m in app.sides[0].of("media")]
    chunks = [int(m["chunk"]) for m in media]
    stamps = [int(m["timestamp"]) for m in media]
    assert chunks == list(range(1, len(chunks) + 1))
    assert max(b - a for a, b in itertools.pairwise(stamps)) == 10_020


@pytest.mark.parametrize(("codec", "encoding", "size"), [("alaw", "audio/x-alaw", 160), ("l16", "audio/l16", 320)])
async def test_other_codecs_are_announced_and_spoken(codec: Any, encoding: str, size: int) -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        await app.carrier().call([Silence(200)], line=LineModel(codec=codec, idle="pure"))
    side = app.sides[0]
    assert side.of("start")[0]["start"]["mediaFormat"]["encoding"] == encoding
    payload = base64.b64decode(side.of("media")[0]["media"]["payload"])
    pcm = payload if codec == "l16" else audioop.alaw2lin(payload, 2)
    assert len(payload) == size
    assert audioop.max(pcm, 2) <= 8


async def test_payloads_may_be_longer_than_a_frame() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        await app.carrier().call([Silence(500)], line=LineModel(payload_ms=100))
    media = [m["media"] for m in app.sides[0].of("media")]
    assert {len(base64.b64decode(m["payload"])) for m in media} == {800}
    assert int(media[1]["timestamp"]) - int(media[0]["timestamp"]) == 100
    with pytest.raises(ValueError, match="a multiple of 20"):
        LineModel(payload_ms=30)


async def test_keys_come_at_the_pace_they_are_pressed() -> None:
    async with ScriptedApp(listen, twiml=CONNECT) as app:
        report = await app.carrier(speed=20).call([Press("471#", gap_ms=1500)])
    at_s = [event.t_s for event in report.events("dtmf")]
    assert [m["dtmf"]["digit"] for m in app.sides[0].of("dtmf")] == list("471#")
    assert all(abs(b - a - 1.5) < 0.2 for a, b in itertools.pairwise(at_s))


@pytest.mark.parametrize(
    "caller",
    [*WITHHELD_NUMBERS, "sip:alice@203.0.113.20:5060", "client:joe", "whatsapp:+14155550123"],
)
async def test_callers_may_be_withheld_or_have_no_number(caller: str) -> None:
    async with ScriptedApp(twiml=response("<Hangup/>")) as app:
        await app.carrier().call([], from_number=caller)
        (asked,) = app.requests("/twiml")
    assert asked.is_signed()
    assert asked.form["From"] == caller
    assert bool(asked.form["FromCity"]) == caller.startswith("+")
