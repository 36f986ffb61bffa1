"""Whole calls to a small app over real HTTP and a real WebSocket, faster than life."""

import asyncio
import base64
from typing import Any

import audioop
import pytest
from scripted_app import HEAR, STAY, STREAM, TOKEN, Answer, AppSide, ScriptedApp, response, tone, ulaw_tone
from twilio.request_validator import RequestValidator

from callbot.simulators.twilio import (
    BargeIn,
    CallEnd,
    Line,
    Press,
    Silence,
    Speak,
    StreamEnd,
    WaitForStream,
    WaitUntilBotQuiet,
    WaitUntilBotSpeaks,
    WaitUntilHeard,
    describe,
    problems,
    remarks,
)

CONNECT = response(f"<Connect>{STREAM}</Connect>")
HELLO = tone(200)


async def answer_once(app: AppSide) -> None:
    await app.until("media", 30)
    await app.say(ulaw_tone(400), "m1")
    await app.drain()


async def test_a_call_carries_sound_both_ways_and_marks_back() -> None:
    async with ScriptedApp(answer_once, twiml=CONNECT) as app:
        report = await app.carrier().call([Speak(HELLO, name="hello"), HEAR, WaitUntilBotQuiet()])
    side = app.sides[0]
    assert problems(report) == []
    assert report.end is CallEnd.CALLER
    assert report.heard_ms == 400
    assert [mark.name for mark in report.streams[0].marks if not mark.cleared] == ["m1"]
    assert [m["mark"]["name"] for m in side.of("mark")] == ["m1"]
    heard = b"".join(base64.b64decode(m["media"]["payload"]) for m in side.of("media"))
    assert audioop.lin2ulaw(HELLO, 2) in heard
    assert heard == report.sent[: len(heard)]
    assert len(report.sent) == len(report.heard)
    assert audioop.lin2ulaw(tone(400), 2) in report.heard
    assert report.utterances[0].latency_ms is not None
    assert len(report.stereo_wav()) == 44 + 4 * len(report.sent)


async def test_messages_look_like_the_captured_ones() -> None:
    async with ScriptedApp(answer_once, twiml=CONNECT) as app:
        report = await app.carrier().call([HEAR, Press("5#", gap_ms=40), WaitUntilBotQuiet(300)])
    side = app.sides[0]
    assert side.messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    start = side.messages[1]
    assert start["event"] == "start"
    assert start["start"] == {
        "accountSid": "AC" + "0123456789abcdef" * 2,
        "streamSid": report.stream_sids[0],
        "callSid": report.call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    numbered = side.messages[1:]
    assert [m["sequenceNumber"] for m in numbered] == [str(n) for n in range(1, len(numbered) + 1)]
    assert {m["streamSid"] for m in numbered} == {report.stream_sids[0]}
    media = [m["media"] for m in side.of("media")]
    assert [m["chunk"] for m in media] == [str(n) for n in range(1, len(media) + 1)]
    first = int(media[0]["timestamp"])
    assert 70 <= first <= 160
    assert [int(m["timestamp"]) for m in media] == [first + 20 * n for n in range(len(media))]
    assert {m["track"] for m in media} == {"inbound"}
    assert {len(m["payload"]) for m in media} == {216}
    assert [m["dtmf"] for m in side.of("dtmf")] == [
        {"track": "inbound_track", "digit": "5"},
        {"track": "inbound_track", "digit": "#"},
    ]
    assert side.messages[-1]["stop"] == {"accountSid": start["start"]["accountSid"], "callSid": report.call_sid}


async def test_the_handshake_is_the_captured_one() -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        await app.carrier().call([Silence(40)])
    names = [name.decode() for name, _ in app.sides[0].raw_headers]
    assert names == [
        "host",
        "user-agent",
        "connection",
        "upgrade",
        "accept-encoding",
        "sec-websocket-key",
        "sec-websocket-version",
        "x-twilio-signature",
    ]
    headers = app.sides[0].headers
    assert headers["host"] == "bot.example"
    assert headers["user-agent"] == "Twilio.TmeWs/1.0"
    validator = RequestValidator(TOKEN)
    assert validator.validate("wss://bot.example/ws", {}, headers["x-twilio-signature"])
    assert not validator.validate("https://bot.example/ws", {}, headers["x-twilio-signature"])


async def test_every_request_of_a_call_is_signed_over_the_public_address() -> None:
    stream = (
        '<Stream url="wss://bot.example/ws" statusCallback="https://bot.example/stream-events" name="n">'
        '<Parameter name="token" value="t&amp;t"/></Stream>'
    )
    answers: dict[str, Any] = {
        "twiml": Answer(status=307, headers={"Location": "/moved?a=%20b"}),
        "moved": response(f'<Connect action="/next?call=1" method="GET">{stream}</Connect>'),
        "next": response('<Redirect method="POST">/last</Redirect>'),
        "last": response('<Dial action="/dialled">+15550100</Dial>'),
        "dialled": response("<Hangup/>"),
        "stream-events": Answer(status=204),
    }

    async def close(app: AppSide) -> None:
        await app.until("media")

    async with ScriptedApp(close, **answers) as app:
        report = await app.carrier().call([STAY])
    assert [each.path for each in app.received if not each.is_signed()] == []
    paths = [each.path.partition("?")[0] for each in app.received]
    assert sorted(paths) == sorted(
        ["/twiml", "/moved", "/next", "/last", "/dialled", "/status", "/stream-events", "/stream-events", "/stream-events"]
    )
    events = {each.form["StreamEvent"]: each.form for each in app.requests("/stream-events")}
    assert set(events) == {"stream-started", "stream-error", "stream-stopped"}
    assert events["stream-error"]["StreamError"].startswith("31921")
    assert events["stream-started"]["StreamName"] == "n"
    assert report.streams[0].parameters == (("token", "t&t"),)
    form = app.requests("/moved")[0].form
    assert form["From"] == "+14158675310"
    assert form["CallerName"] == ""
    assert form["FromCity"] == "SÃO JOSÉ"
    assert form["CallStatus"] == "ringing"
    assert "RoutingExperiment" in form
    assert app.requests("/moved")[0].headers["I-Twilio-Idempotency-Token"]
    dialled = app.requests("/dialled")[0].form
    assert dialled["DialCallStatus"] == "completed"
    assert "CallStatus=in-progress" in app.requests("/next")[0].path
    assert report.streams[0].end is StreamEnd.APP_CLOSED
    assert report.streams[0].debugger == (31921,)


async def test_barge_in_is_measured_from_the_callers_first_frame_to_the_clear() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 5)
        await app.say(ulaw_tone(1000) * 20, "long")
        loud = 0
        while loud < 3:
            message = await app.receive()
            if message["event"] == "media":
                payload = base64.b64decode(message["media"]["payload"])
                loud += audioop.rms(audioop.ulaw2lin(payload, 2), 2) > 1000
        await app.clear()
        await app.say(ulaw_tone(100), "short")
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        report = await app.carrier(speed=4).call([BargeIn(tone(400), after_ms=300), WaitUntilBotQuiet(300)])
    said = report.utterances[0]
    assert said.barged_in
    assert said.clear_after_ms is not None
    assert said.dropped_ms > 0
    assert said.dropped_ms == report.clears[0].dropped_ms == report.streams[0].dropped_ms
    marks = report.streams[0].marks
    assert [(mark.name, mark.cleared) for mark in marks] == [("long", True), ("short", False)]
    assert [m["mark"]["name"] for m in app.sides[0].of("mark")] == ["long", "short"]


async def test_a_second_stream_continues_the_same_call_on_one_recording() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 5)
        await app.say(ulaw_tone(100), "m")
        await app.until("mark")
        if len(servers.sides) == 2:
            await app.drain()

    twiml = response(f'<Connect action="/next">{STREAM}</Connect>')
    async with ScriptedApp(talk, twiml=twiml, next=CONNECT) as servers:
        report = await servers.carrier().call([WaitForStream(2, timeout_s=300), WaitUntilHeard(200)])
    assert len(set(report.stream_sids)) == 2
    assert report.heard_ms == 200
    assert [side.of("media")[0]["media"]["chunk"] for side in servers.sides] == ["1", "1"]
    assert {side.of("start")[0]["start"]["callSid"] for side in servers.sides} == {report.call_sid}


async def test_every_wrong_message_counts_but_twilio_reports_a_code_once() -> None:
    async def misbehave(app: AppSide) -> None:
        await app.until("start")
        for _ in range(3):
            await app.send(event="media", media={"payload": "//8="})
        await app.socket.send_bytes(b"\xff" * 160)
        await app.socket.send_bytes(b"\xff" * 160)
        await app.send(
            event="media", streamSid=app.stream_sid, media={"payload": base64.b64encode(b"RIFF".ljust(160, b"\xff")).decode()}
        )
        await app.say(ulaw_tone(50)[:399], "end", chunk_bytes=399)
        await app.drain()

    connect = response('<Connect><Stream url="wss://bot.example/ws" statusCallback="/events"/></Connect>')
    async with ScriptedApp(misbehave, twiml=connect, events=Answer(status=204)) as app:
        report = await app.carrier().call([HEAR, WaitUntilBotQuiet(300)])
    assert report.fault_counts == {"missing_key": 3, "binary_frame": 2, "file_header": 1}
    assert report.streams[0].debugger == (31951, 31950)
    errors = [each.form for each in app.requests("/events") if each.form["StreamEvent"] == "stream-error"]
    assert sorted(each["StreamError"][:5] for each in errors) == ["31950", "31951"]
    assert report.streams[0].partial_frames == 1
    assert report.streams[0].ragged_payloads == 1
    assert len(problems(report)) == 6
    assert remarks(report) == ["1 time(s) the queue ended inside a 20 ms frame"]


async def test_calls_at_once_keep_apart_and_repeat_with_the_same_seed() -> None:
    async def run() -> tuple[set[str], int]:
        async with ScriptedApp(answer_once, twiml=CONNECT) as app:
            carrier = app.carrier(speed=4)
            script = [HEAR, WaitUntilBotQuiet(300)]
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(carrier.call(script, delay_s=(0.0, 0.4))) for _ in range(4)]
        reports = [call.result() for call in calls]
        assert [problems(report) for report in reports] == [[], [], [], []]
        assert {report.heard_ms for report in reports} == {400}
        return {report.call_sid for report in reports}, len({side.stream_sid for side in app.sides})

    first, streams = await run()
    assert streams == 4
    assert len(first) == 4
    assert (await run())[0] == first


async def test_a_script_can_be_a_function_and_its_own_error_comes_out_after_the_call() -> None:
    async def script(line: Line) -> None:
        await line.speak(audioop.lin2ulaw(HELLO, 2), encoding="mulaw")
        assert not line.bot_is_speaking
        raise LookupError("the script's own")

    async with ScriptedApp(twiml=CONNECT) as app:
        with pytest.raises(LookupError, match="the script's own"):
            await app.carrier().call(script)
    assert app.sides[0].of("stop")
    assert app.requests("/status")


async def test_a_wait_in_vain_is_reported_and_hangs_up() -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        report = await app.carrier().call([WaitUntilBotSpeaks(timeout_s=0.3), Speak(HELLO)])
    assert report.script_failure == "gave up waiting for the bot to speak"
    assert report.utterances == ()
    assert app.sides[0].of("stop")


async def test_the_report_reads_as_plain_words() -> None:
    async with ScriptedApp(answer_once, twiml=CONNECT) as app:
        report = await app.carrier().call([Speak(HELLO, name="hello"), HEAR, WaitUntilBotQuiet()])
    text = describe(report)
    assert "completed after" in text
    assert "hello: 0." in text
    assert "answered after" in text
    assert "Violations: none" in text
    assert len(text.splitlines()) < 40
