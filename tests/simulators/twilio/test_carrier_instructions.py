"""What the app's instructions make of a call: verbs, webhooks that fail, streams that do not open."""

import asyncio

import pytest
from scripted_app import PUBLIC, STAY, STREAM, Answer, AppSide, ScriptedApp, response, tone

from callbot.simulators.twilio import (
    CallEnd,
    HangUp,
    Silence,
    StreamEnd,
    problems,
)

CONNECT = response(f"<Connect>{STREAM}</Connect>")
HELLO = tone(200)


@pytest.mark.parametrize(
    ("after", "said", "end"),
    [
        ("<Say>Good bye</Say>", ("Good bye",), CallEnd.DOCUMENT),
        ("<Say>Bye</Say><Hangup/><Say>never</Say>", ("Bye",), CallEnd.HANGUP_VERB),
        ("<Redirect>/elsewhere</Redirect><Say>never</Say>", ("There",), CallEnd.DOCUMENT),
        ("", (), CallEnd.DOCUMENT),
    ],
)
async def test_what_follows_a_stream_without_action_runs_when_the_app_closes(
    after: str, said: tuple[str, ...], end: CallEnd
) -> None:
    async def close(app: AppSide) -> None:
        await app.until("start")

    twiml = response(f"<Connect>{STREAM}</Connect>", after)
    async with ScriptedApp(close, twiml=twiml, elsewhere=response("<Say>There</Say>")) as app:
        report = await app.carrier().call([STAY])
    assert report.said == said
    assert report.end is end
    assert app.requests("/status")[0].form["CallStatus"] == "completed"
    assert app.requests("/status")[0].form["CallDuration"].isdigit()


async def test_the_action_of_connect_beats_the_verbs_after_it() -> None:
    async def close(app: AppSide) -> None:
        await app.until("start")

    twiml = response(f'<Connect action="/next">{STREAM}</Connect><Say>never</Say>')
    async with ScriptedApp(close, twiml=twiml, next=response("<Say>Next</Say>")) as app:
        report = await app.carrier().call([STAY])
    assert report.said == ("Next",)
    form = app.requests("/next")[0].form
    assert (form["CallSid"], form["CallStatus"]) == (report.call_sid, "in-progress")


@pytest.mark.parametrize("asks", [False, True])
async def test_after_a_hang_up_nothing_more_is_carried_out(asks: bool) -> None:
    twiml = response(f'<Connect action="/next">{STREAM}</Connect>')
    async with ScriptedApp(twiml=twiml, next=response("<Say>never</Say>")) as app:
        report = await app.carrier(action_after_hang_up=asks).call([Silence(40), HangUp()])
    assert report.said == ()
    assert len(app.requests("/next")) == asks
    assert report.end is CallEnd.CALLER


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer("<Response>"), 12100),
        (Answer(""), 12100),
        (Answer(CONNECT, content_type="application/json"), 12300),
        (Answer("hello", content_type="text/plain"), 12300),
        (Answer("no", status=500), 11200),
        (Answer(status=302, headers={"Location": "/twiml"}), 11215),
        (Answer(status=302, headers={"Location": "https://other.example/x"}), 11210),
    ],
)
async def test_a_failing_webhook_goes_to_the_fallback_with_its_code(answer: Answer, code: int) -> None:
    async with ScriptedApp(twiml=answer, fallback=response("<Say>Sorry</Say>")) as app:
        report = await app.carrier(fallback_path="/fallback").call([])
        assert report.said == ("Sorry",)
        form = app.requests("/fallback")[0].form
        assert (form["ErrorCode"], form["ErrorUrl"]) == (str(code), f"{PUBLIC}/twiml")
        assert app.requests("/fallback")[0].is_signed()
        report = await app.carrier().call([])
    assert report.end is CallEnd.APPLICATION_ERROR
    assert report.events("application_error")[0].detail.startswith(str(code))
    assert report.status == "completed"


async def test_a_connection_that_fails_is_tried_once_more_and_a_bad_answer_is_not() -> None:
    async with ScriptedApp(twiml=Answer(status=503)) as app:
        report = await app.carrier().call([])
        assert report.requests("voice")[0].attempts == 1
        report = await app.carrier(voice_path="/twiml#rc=3&rp=5xx").call([])
        assert report.requests("voice")[0].attempts == 4
        assert report.requests("voice")[0].url == f"{PUBLIC}/twiml"
        carrier = app.carrier(status_path="")
    report = await carrier.call([])
    assert report.requests("voice")[0].attempts == 2
    assert report.requests("voice")[0].error_code == 11205


async def test_an_answer_that_never_comes_ends_at_the_limit() -> None:
    never = asyncio.Event()
    async with ScriptedApp(twiml=Answer(CONNECT, wait_for=never)) as app:
        report = await app.carrier(voice_path="/twiml#tt=200").call([])
        never.set()
    assert report.requests("voice")[0].error_code == 11205
    assert report.end is CallEnd.APPLICATION_ERROR


@pytest.mark.parametrize(
    ("url", "options", "code"),
    [
        ('url="ws://bot.example/ws"', {}, 31922),
        ('url="wss:///ws"', {}, 31923),
        ('url="wss://bot.example/ws" track="both_tracks"', {}, 31941),
        ('url="wss://bot.example/ws?a=b"', {"fail_on_stream_query": True}, 31920),
        ('url="wss://other.example/ws"', {}, 31901),
    ],
)
async def test_a_stream_that_twilio_would_not_open_is_reported_and_passed_over(
    url: str, options: dict[str, bool], code: int
) -> None:
    twiml = response(f'<Connect><Stream statusCallback="/events" {url}/></Connect><Say>After</Say>')
    async with ScriptedApp(twiml=twiml, events=Answer(status=204)) as app:
        report = await app.carrier(**options).call([])
    assert app.sides == []
    assert report.streams[0].debugger == (code,)
    assert report.streams[0].end is StreamEnd.NOT_OPENED
    assert [each.form["StreamEvent"] for each in app.requests("/events")] == ["stream-error"]
    assert report.said == ("After",)


async def test_a_refused_handshake_is_31920_and_a_query_is_dropped_silently() -> None:
    async with ScriptedApp(refuse_socket=403, twiml=CONNECT) as app:
        report = await app.carrier().call([])
        assert (report.streams[0].http_status, report.streams[0].debugger) == (403, (31920,))
        assert any("31920" in problem for problem in problems(report))
    query = response('<Connect><Stream url="wss://bot.example/ws?secret=1"/></Connect>')
    async with ScriptedApp(twiml=query) as app:
        report = await app.carrier().call([Silence(20)])
    assert report.streams[0].http_status == 101
    assert len(report.events("query_dropped")) == 1


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_a_rejected_call_is_never_answered(reason: str, status: str) -> None:
    async with ScriptedApp(twiml=response(f'<Reject reason="{reason}"/>')) as app:
        report = await app.carrier().call([])
    assert report.end is CallEnd.REJECTED
    assert report.events("answered") == ()
    form = app.requests("/status")[0].form
    assert (form["CallStatus"], form["CallDuration"]) == (status, "0")


async def test_documents_that_lead_back_to_themselves_come_to_an_end() -> None:
    async with ScriptedApp(twiml=response("<Redirect>/twiml</Redirect>")) as app:
        report = await app.carrier(max_documents=5).call([])
    assert len(report.exchanges) == 7  # five documents, the one too many, and the status callback
    assert report.end is CallEnd.APPLICATION_ERROR


async def test_a_call_ends_at_its_time_limit() -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        report = await app.carrier(max_call_s=0.5).call([STAY])
    assert report.end is CallEnd.TIME_LIMIT
    assert report.streams[0].end is StreamEnd.TIME_LIMIT
    assert app.sides[0].of("stop")


async def test_status_callbacks_may_come_late_and_twice() -> None:
    async with ScriptedApp(twiml=response("<Hangup/>")) as app:
        await app.carrier(status_delay_s=0.2, status_copies=2).call([])
    assert [each.form["CallStatus"] for each in app.requests("/status")] == ["completed", "completed"]
