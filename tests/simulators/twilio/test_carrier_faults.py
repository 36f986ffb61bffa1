"""Faults injected on Twilio's side reach the app as they would reach it from Twilio."""

import asyncio
import base64
import hashlib
import json
from typing import Any, Literal

import pytest
from scripted_app import PUBLIC, STAY, STREAM, TOKEN, AppSide, ScriptedApp, listen, response, tone, ulaw_tone
from twilio.request_validator import RequestValidator

from callbot.simulators.twilio import (
    BadSignature,
    CallEnd,
    Carrier,
    CarrierOptions,
    DelayHandshake,
    DtmfStorm,
    DuplicateStart,
    EndStream,
    Fault,
    Garbage,
    HangUp,
    HangUpStyle,
    Inject,
    Jitter,
    Line,
    LineModel,
    LoseFrames,
    MarkFlood,
    MediaBeforeStart,
    MonotonicClock,
    NeverStart,
    OverrideParameter,
    ReplayVoiceWebhook,
    SecondSocket,
    SendGarbage,
    Silence,
    Speak,
    Stall,
    StayOnLine,
    StopAfterStart,
    StopReading,
    StreamEnd,
    WaitUntilHeard,
    WrongSignature,
)

CONNECT = response(f"<Connect>{STREAM}</Connect>")
WITH_TOKEN = response('<Connect><Stream url="wss://bot.example/ws"><Parameter name="token" value="good"/></Stream></Connect>')


async def call_with(*faults: Fault, twiml: str = CONNECT, for_ms: int = 200) -> tuple[Any, AppSide]:
    async with ScriptedApp(listen, twiml=twiml) as app:
        report = await app.carrier().call([Silence(for_ms)], faults=faults)
    return report, app.sides[0]


async def test_a_stream_may_never_start() -> None:
    _, side = await call_with(NeverStart())
    assert [m["event"] for m in side.messages] == ["connected", "stop"]


async def test_media_may_come_before_start() -> None:
    _, side = await call_with(MediaBeforeStart(2))
    assert [m["event"] for m in side.messages[:5]] == ["connected", "media", "media", "start", "media"]


async def test_stop_may_follow_straight_after_start() -> None:
    report, side = await call_with(StopAfterStart())
    assert [m["event"] for m in side.messages] == ["connected", "start", "stop"]
    assert report.streams[0].end is StreamEnd.INJECTED


async def test_start_may_come_twice_even_for_another_call() -> None:
    report, side = await call_with(DuplicateStart(at_ms=40), DuplicateStart(at_ms=60, call_sid="CAother"))
    assert [m["start"]["callSid"] for m in side.of("start")] == [report.call_sid, report.call_sid, "CAother"]


@pytest.mark.parametrize("kind", list(Garbage))
async def test_every_kind_of_garbage_reaches_the_app(kind: Garbage) -> None:
    # Nobody can read on after invalid UTF-8: there the app ends the call. Nothing may be on its way to it then: the kernel
    # would answer that with a reset, and a carrier that writes into it does not read the close any more.
    ends = kind is Garbage.INVALID_UTF8
    faults: list[Fault] = [SendGarbage(kind, at_ms=40), *([Stall(at_ms=40, for_ms=60_000)] if ends else [])]
    async with ScriptedApp(twiml=CONNECT) as app:
        report = await app.carrier().call([STAY if ends else Silence(200)], faults=faults)
    side = app.sides[0]
    assert len(report.events("injected")) == len(faults)
    odd = [
        raw
        for raw, message in zip(side.raw, side.messages, strict=True)
        if not (isinstance(message, dict) and is_ordinary(message))
    ]
    if ends:
        assert report.streams[0].close_code == 1007
        assert report.streams[0].end is StreamEnd.APP_CLOSED
        return
    assert len(odd) == 1
    if kind is Garbage.HUGE_PAYLOAD:
        assert len(odd[0]) > 1 << 20
    assert isinstance(odd[0], bytes) == (kind is Garbage.BINARY_FRAME)
    assert side.of("stop")


def is_ordinary(message: dict[str, Any]) -> bool:
    if message.get("event") != "media":
        return message.get("event") in {"connected", "start", "stop", "mark", "dtmf"}
    media = message.get("media")
    if not isinstance(media, dict) or not isinstance(message.get("sequenceNumber"), str):
        return False
    return isinstance(media.get("payload"), str) and len(media["payload"]) == 216


async def test_keys_are_stormed_and_unknown_marks_flooded() -> None:
    report, side = await call_with(DtmfStorm(at_ms=20, presses=30), MarkFlood(at_ms=40, marks=100), for_ms=1000)
    digits = [m["dtmf"]["digit"] for m in side.of("dtmf")]
    assert len(digits) == 30
    assert {"A", "*", "#"} < set(digits)
    assert len({m["mark"]["name"] for m in side.of("mark")}) == 100
    sequence = [int(m["sequenceNumber"]) for m in side.messages[1:]]
    assert sequence == list(range(1, len(sequence) + 1))
    assert report.streams[0].marks == ()


async def test_lost_frames_leave_a_gap_in_chunk_and_timestamp() -> None:
    report, side = await call_with(LoseFrames(at_ms=60, frames=3))
    chunks = [int(m["media"]["chunk"]) for m in side.of("media")]
    times = [int(m["media"]["timestamp"]) for m in side.of("media")]
    assert chunks[:6] == [1, 2, 3, 7, 8, 9]
    assert times[3] - times[2] == 80
    assert report.streams[0].frames_lost == 3


async def test_random_loss_and_jitter_keep_the_order() -> None:
    line = LineModel(loss=0.3, jitter=Jitter())
    async with ScriptedApp(twiml=CONNECT) as app:
        report = await app.carrier().call([Silence(2000)], line=line)
    chunks = [int(m["media"]["chunk"]) for m in app.sides[0].of("media")]
    assert chunks == sorted(chunks)
    assert 0 < report.streams[0].frames_lost < 60
    assert report.streams[0].frames_sent == len(chunks)


async def test_a_stall_holds_everything_back_and_then_delivers_it_all() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 20)  # 0.4 s into the call, but held up until 0.7 s
        await app.say(b"", "m")
        await app.until("mark")

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        report = await app.carrier(speed=4).call([STAY], faults=[Stall(at_ms=100, for_ms=600)])
    assert report.streams[0].marks[0].received_s >= 0.7
    chunks = [int(m["media"]["chunk"]) for m in app.sides[0].of("media")]
    assert chunks == list(range(1, len(chunks) + 1))
    assert len(chunks) >= 34  # all of 0.7 s but what is on its way; the app hangs up some time after that


async def test_an_app_that_is_not_read_from_is_held_up_and_loses_nothing() -> None:
    async def talk(app: AppSide) -> None:
        await app.until("media", 20)
        await app.say(ulaw_tone(400), "m")
        await app.drain()

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        report = await app.carrier().call([WaitUntilHeard(400)], faults=[StopReading(at_ms=100, for_ms=1500)])
    assert report.heard_ms == 400
    assert report.streams[0].marks[0].received_s >= 1.5


@pytest.mark.parametrize("style", list(HangUpStyle))
async def test_each_way_of_hanging_up_looks_as_named(style: HangUpStyle) -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        report = await app.carrier(linger_s=0.8).call([Silence(40), HangUp(style)])
    side = app.sides[0]
    stops = "stop" in style.value.split(",")[0].split() and style is not HangUpStyle.CLOSE_WITHOUT_STOP
    assert bool(side.of("stop")) == stops
    left_open = style in {HangUpStyle.STOP_WITHOUT_CLOSE, HangUpStyle.SILENCE}
    assert len(report.events("socket_left_open")) == left_open
    assert report.end is CallEnd.CALLER
    assert report.streams[0].end is StreamEnd.HUNG_UP
    assert report.status == "completed"


@pytest.mark.parametrize("style", [HangUpStyle.STOP_WITHOUT_CLOSE, HangUpStyle.SILENCE])
async def test_an_app_that_ends_an_open_end_by_itself_is_noticed(style: HangUpStyle) -> None:
    gone = asyncio.Event()

    async def talk(app: AppSide) -> None:
        await app.until("media", 2)
        while not gone.is_set() and not app.of("stop"):
            try:
                async with asyncio.timeout(0.01):
                    await app.receive()
            except TimeoutError:
                continue
        transport = app.socket._req.transport if app.socket._req else None  # a close handshake would wait in vain
        assert transport is not None
        transport.abort()

    async def script(line: Line) -> None:
        await line.silence(100)
        gone.set()
        await line.hang_up(style)

    async with ScriptedApp(talk, twiml=CONNECT) as app:
        report = await app.carrier(speed=1, linger_s=20).call(script)
    assert report.events("socket_left_open") == ()


async def test_the_link_may_break_while_the_call_goes_on() -> None:
    again = response(f"<Connect>{STREAM}</Connect><Say>Over</Say>")
    twiml = response(f'<Connect action="/next">{STREAM}</Connect>')

    async def script(line: Line) -> None:
        await line.silence(60)
        line.reset_link()
        await line.wait_for_stream(2)
        await line.stay()

    async with ScriptedApp(twiml=twiml, next=again) as app:
        report = await app.carrier().call(script, faults=[EndStream(100, HangUpStyle.CLOSE_WITHOUT_STOP, stream=2)])
    assert [stream.end for stream in report.streams] == [StreamEnd.INJECTED, StreamEnd.INJECTED]
    assert report.said == ("Over",)
    assert not app.sides[0].of("stop")


@pytest.mark.parametrize("kind", list(BadSignature))
@pytest.mark.parametrize("where", ["voice", "stream"])
async def test_signatures_may_be_wrong_in_every_way(kind: BadSignature, where: Literal["voice", "stream"]) -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        await app.carrier().call([Silence(20)], faults=[WrongSignature(kind, where)])
    request = app.requests("/twiml")[0]
    assert request.is_signed() == (where != "voice")
    validator = RequestValidator(TOKEN)
    handshake = app.sides[0].headers.get("x-twilio-signature", "")
    assert validator.validate("wss://bot.example/ws", {}, handshake) == (where != "stream")
    slash = validator.validate("wss://bot.example/ws/", {}, handshake)
    assert slash == (where == "stream" and kind is BadSignature.TRAILING_SLASH)
    if kind is BadSignature.MISSING:
        assert "X-Twilio-Signature" not in (request.headers if where == "voice" else app.sides[0].headers)


@pytest.mark.parametrize(("value", "arrives"), [(None, {}), ("foreign", {"token": "foreign"})])
async def test_the_token_may_be_missing_or_foreign(value: str | None, arrives: dict[str, str]) -> None:
    _, side = await call_with(OverrideParameter("token", value), DelayHandshake(0.05), twiml=WITH_TOKEN)
    assert side.of("start")[0]["start"]["customParameters"] == arrives


async def test_the_voice_webhook_may_be_replayed_byte_for_byte() -> None:
    async with ScriptedApp(twiml=[WITH_TOKEN, CONNECT]) as app:
        report = await app.carrier().call([Silence(20)], faults=[ReplayVoiceWebhook(2)])
    first, *others = app.requests("/twiml")
    assert len(others) == 2
    for other in others:
        assert list(other.form.items()) == list(first.form.items())
        assert other.headers["X-Twilio-Signature"] == first.headers["X-Twilio-Signature"]
    assert len(app.sides) == 1
    assert report.streams[0].parameters == (("token", "good"),)


@pytest.mark.parametrize("at_ms", [-1, 60])
async def test_a_second_socket_may_claim_the_same_call(at_ms: int) -> None:
    async with ScriptedApp(twiml=WITH_TOKEN) as app:
        fault = SecondSocket(at_ms=at_ms, lasts_ms=200)
        report = await app.carrier().call([Silence(400)], faults=[fault])
    starts = [side.of("start")[0]["start"] for side in app.sides]
    assert [start["callSid"] for start in starts] == [report.call_sid] * 2
    assert [start["customParameters"] for start in starts] == [{"token": "good"}] * 2
    assert starts[0]["streamSid"] != starts[1]["streamSid"]
    assert sorted(stream.second for stream in report.streams) == [False, True]


async def test_faults_can_be_injected_by_a_step() -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        script = [Speak(tone(100)), Inject(SendGarbage(Garbage.UNKNOWN_EVENT)), StayOnLine(0.2)]
        report = await app.carrier().call(script)
    assert len(app.sides[0].of("weather")) == 1
    assert report.script_failure == "gave up waiting for the other side to end the call"


async def test_an_app_that_does_not_read_makes_twilio_throw_audio_away() -> None:
    async def deaf(app: AppSide) -> None:
        await app.until("start")
        await release.wait()

    release = asyncio.Event()

    async def script(line: Line) -> None:
        # Two messages of 1 MiB fill the buffers of both ends; nothing more gets through.
        for _ in range(12):
            line.inject(SendGarbage(Garbage.HUGE_PAYLOAD))
            await line.silence(20)
        await line.silence(8000)
        release.set()
        await line.hang_up(HangUpStyle.RESET)

    async with ScriptedApp(deaf, twiml=CONNECT) as app:
        report = await app.carrier(speed=20).call(script)
    assert 31930 in report.streams[0].debugger
    assert report.streams[0].frames_discarded > 0


async def test_stop_and_close_may_arrive_in_one_read() -> None:
    reads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            body = CONNECT.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        else:
            key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            while not reads or frames(reads[-1])[-1][0] != 0x88:
                reads.append(await reader.read(65536))
            writer.write(b"\x88\x02\x03\xe8")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = CarrierOptions(PUBLIC, f"http://127.0.0.1:{port}", setup_ms=(0, 0))
    async with server:
        await Carrier(options, MonotonicClock(4)).call([Silence(60), HangUp(HangUpStyle.STOP_WITH_CLOSE)])
    (first, last), code = frames(reads[-1])[-2:], 1000
    assert json.loads(first[1])["event"] == "stop"
    assert last == (0x88, code.to_bytes(2))


def frames(read: bytes) -> list[tuple[int, bytes]]:
    """First byte and unmasked payload of each client frame in one read."""
    found = []
    while read:
        length, at = read[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(read[2:4]), 4
        mask, masked = read[at : at + 4], read[at + 4 : at + 4 + length]
        found.append((read[0], bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked))))
        read = read[at + 4 + length :]
    return found
