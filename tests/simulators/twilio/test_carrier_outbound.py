"""Calls that the app asks for, second legs, conferences and keys, with Twilio's own client library at the API."""

import asyncio
from typing import Any

import audioop
import pytest
from scripted_app import HEAR, PUBLIC, STAY, STREAM, AppSide, ScriptedApp, listen, response, tone, ulaw_tone
from test_carrier_rest import client
from twilio.base.exceptions import TwilioRestException

from callbot.simulators.twilio import Callee, CallEnd, Carrier, Press, RestApi, Silence, Speak, problems

CONNECT = response(f"<Connect>{STREAM}</Connect>")
EVENTS = ["initiated", "ringing", "answered", "completed"]
CALLEE, OURS, AGENT = "+14155550123", "+18005551212", "+14155550100"


async def create(api: RestApi, carrier: Carrier, **given: Any) -> Any:
    given = {"to": CALLEE, "from_": OURS, "url": f"{PUBLIC}/twiml", **given}
    return await asyncio.to_thread(lambda: client(api, carrier).calls.create(**given))


def told(app: ScriptedApp, path: str = "/status") -> list[str]:
    return [request.form["CallStatus"] for request in app.requests(path)]


async def greet(app: AppSide) -> None:
    await app.until("media", 5)
    await app.say(ulaw_tone(300), "m")
    await app.drain()


async def test_a_call_is_placed_answered_and_told_about() -> None:
    callee = Callee(ring_s=2.0, script=[HEAR, Speak(tone(300), name="hello"), Silence(200)])
    async with ScriptedApp(greet, twiml=CONNECT) as app:
        carrier = app.carrier(parties={CALLEE: callee})
        async with RestApi(carrier) as api:
            call = await create(api, carrier, status_callback=f"{PUBLIC}/status", status_callback_event=EVENTS)
            assert (call.status, call.direction, call.to, call._from) == ("queued", "outbound-api", CALLEE, OURS)
            report = await carrier.report(call.sid)
            fetched = await asyncio.to_thread(lambda: client(api, carrier).calls(call.sid).fetch())
        (asked,) = app.requests("/twiml")
        callbacks = app.requests("/status")
    assert problems(report) == []
    assert report.end is CallEnd.CALLER
    assert (asked.form["Direction"], asked.form["CallStatus"]) == ("outbound-api", "in-progress")
    assert [form.form["CallStatus"] for form in callbacks] == ["initiated", "ringing", "in-progress", "completed"]
    assert [form.form["SequenceNumber"] for form in callbacks] == ["0", "1", "2", "3"]
    assert all(callback.is_signed() for callback in callbacks)
    assert "CallDuration" not in callbacks[2].form
    assert callbacks[3].form["CallDuration"] == fetched.duration
    assert fetched.start_time < fetched.end_time or fetched.start_time == fetched.end_time


@pytest.mark.parametrize(
    ("callee", "status"),
    [
        (Callee("busy"), "busy"),
        (Callee("declined"), "busy"),
        (Callee("failed"), "failed"),
        (Callee("no-answer"), "no-answer"),
        (Callee(ring_s=30.0), "no-answer"),
    ],
)
async def test_a_call_that_nobody_answers_asks_for_no_instructions(callee: Callee, status: str) -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        carrier = app.carrier(parties={CALLEE: callee}, speed=100)
        async with RestApi(carrier) as api:
            call = await create(api, carrier, timeout=20, status_callback=f"{PUBLIC}/status")
            report = await carrier.report(call.sid)
        assert app.requests("/twiml") == []
        assert told(app) == [status]
    assert report.end is CallEnd.NOT_REACHED
    assert report.status == status
    assert problems(report) == []


async def test_inline_instructions_need_no_request_and_a_ringing_call_can_be_cancelled() -> None:
    async with ScriptedApp() as app:
        carrier = app.carrier(parties={CALLEE: Callee(ring_s=0.0)})
        async with RestApi(carrier) as api:
            twiml = response("<Say>hello</Say>")
            call = await asyncio.to_thread(lambda: client(api, carrier).calls.create(to=CALLEE, from_=OURS, twiml=twiml))
            assert (await carrier.report(call.sid)).said == ("hello",)
        carrier = app.carrier(parties={CALLEE: Callee(ring_s=500.0)}, speed=1)
        async with RestApi(carrier) as api:
            call = await create(api, carrier)
            await asyncio.to_thread(lambda: client(api, carrier).calls(call.sid).update(status="canceled"))
            assert (await carrier.report(call.sid)).status == "canceled"
        assert app.received == []


@pytest.mark.parametrize(
    ("detection", "outcome", "by"),
    [
        ("Enable", "answered", "human"),
        ("Enable", "voicemail", "machine_start"),
        ("DetectMessageEnd", "voicemail", "machine_end_beep"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
async def test_who_has_answered_is_told_before_the_call_or_beside_it(
    detection: str, outcome: Any, by: str, at_once: bool
) -> None:
    callee = Callee(outcome, ring_s=0.0, script=[Silence(6000)])
    asynchronous = {"async_amd": "true", "async_amd_status_callback": f"{PUBLIC}/amd"} if at_once else {}
    async with ScriptedApp(listen, twiml=CONNECT, amd="") as app:
        carrier = app.carrier(parties={CALLEE: callee}, speed=20)
        async with RestApi(carrier) as api:
            call = await create(api, carrier, machine_detection=detection, **asynchronous)
            await carrier.report(call.sid)
        (asked,) = app.requests("/twiml")
        assert asked.form.get("AnsweredBy") == (None if at_once else by)
        assert [request.form["AnsweredBy"] for request in app.requests("/amd")] == [by] * at_once


async def test_wrong_orders_are_refused_with_twilios_codes() -> None:
    async with ScriptedApp(twiml=CONNECT) as app:
        carrier = app.carrier()
        async with RestApi(carrier) as api:
            for given, code in (
                ({"to": ""}, 21201),
                ({"from_": ""}, 21213),
                ({"url": "nonsense"}, 21205),
                ({"status_callback_event": ["laughed"]}, 21626),
                ({"machine_detection": "Sometimes"}, 20001),
            ):
                with pytest.raises(TwilioRestException) as caught:
                    await create(api, carrier, **given)
                assert (caught.value.status, caught.value.code) == (400, code)
            assert carrier.identities() == []


async def test_calls_are_listed_filtered_and_paged() -> None:
    async with ScriptedApp(twiml=response("<Hangup/>")) as app:
        carrier = app.carrier()
        for number in ("+15550001", "+15550002", "+15550002"):
            await carrier.call([], from_number=number)
        async with RestApi(carrier) as api:
            listed = await asyncio.to_thread(lambda: client(api, carrier).calls.list(page_size=2))
            some = await asyncio.to_thread(lambda: client(api, carrier).calls.list(from_="+15550002", status="completed"))
    assert [call._from for call in listed] == ["+15550002", "+15550002", "+15550001"]
    assert len(some) == 2
    assert {call.direction for call in listed} == {"inbound"}


@pytest.mark.parametrize(
    ("callee", "status", "bridged"),
    [
        (Callee(ring_s=3.0, talk_s=4.0), "completed", "true"),
        (Callee("voicemail"), "completed", "true"),
        (Callee("busy"), "busy", "false"),
        (Callee("declined"), "busy", "false"),
        (Callee("no-answer"), "no-answer", "false"),
        (Callee(ring_s=11.0), "no-answer", "false"),
        (Callee("failed"), "failed", "false"),
    ],
)
async def test_a_second_leg_tells_its_own_story_and_its_outcome(callee: Callee, status: str, bridged: str) -> None:
    number = f'<Number statusCallback="/leg" statusCallbackEvent="{" ".join(EVENTS)}">{AGENT}</Number>'
    dial = response(f'<Dial timeout="10" action="/done">{number}</Dial>')
    async with ScriptedApp(twiml=dial, leg="", done=response("<Hangup/>")) as app:
        report = await app.carrier(parties={AGENT: callee}, speed=50).call([])
        (done,) = app.requests("/done")
        legs = app.requests("/leg")
    assert (done.form["DialCallStatus"], done.form["DialBridged"]) == (status, bridged)
    assert done.form["CallStatus"] == "in-progress"
    assert done.form["CallSid"] == report.call_sid
    middle = ["in-progress"] if bridged == "true" else []
    assert [leg.form["CallStatus"] for leg in legs] == ["initiated", "ringing", *middle, status]
    assert {leg.form["ParentCallSid"] for leg in legs} == {report.call_sid}
    assert {leg.form["CallSid"] for leg in legs} == {done.form["DialCallSid"]}
    assert {leg.form["Direction"] for leg in legs} == {"outbound-dial"}


async def test_numbers_ring_at_once_or_one_after_another() -> None:
    parties = {"+1555001": Callee("busy"), "+1555002": Callee(ring_s=5.0), "+1555003": Callee(ring_s=2.0)}
    inside = "".join(f"<Number>{number}</Number>" for number in parties)
    async with ScriptedApp(
        twiml=[response(f"<Dial>{inside}</Dial>"), response(f'<Dial sequential="true">{inside}</Dial>')]
    ) as app:
        carrier = app.carrier(parties=parties, speed=50)
        reports = [await carrier.call([]) for _ in range(2)]
    assert [report.events("bridged")[0].detail for report in reports] == ["+1555003", "+1555002"]


async def test_the_caller_hears_who_answered() -> None:
    async def hand_over(app: AppSide) -> None:
        await app.until("media", 5)

    connect = response(f"<Connect>{STREAM}</Connect>", f"<Dial>{AGENT}</Dial>")
    callee = Callee(ring_s=0.2, talk_s=2.0, says=ulaw_tone(500))
    async with ScriptedApp(hand_over, twiml=connect) as app:
        report = await app.carrier(parties={AGENT: callee}).call([STAY])
    assert ulaw_tone(500)[:3000] in report.heard
    assert problems(report) == []


@pytest.mark.parametrize(("presses", "bridged"), [("1", "true"), ("", "false")])
async def test_who_answers_is_asked_first(presses: str, bridged: str) -> None:
    dial = response(f'<Dial action="/done"><Number url="/whisper">{AGENT}</Number></Dial>')
    whisper = response('<Gather numDigits="1" action="/accept"><Say>Press 1</Say></Gather>', "<Hangup/>")
    answers = {"whisper": whisper, "accept": response(), "done": response("<Hangup/>")}
    async with ScriptedApp(twiml=dial, **answers) as app:
        await app.carrier(parties={AGENT: Callee(presses=presses)}, speed=50).call([])
        (done,) = app.requests("/done")
        asked = app.requests("/whisper")[0].form
        assert [request.form["Digits"] for request in app.requests("/accept")] == [presses] * bool(presses)
    assert done.form["DialBridged"] == bridged
    assert asked["CallSid"] == done.form["DialCallSid"] != done.form["CallSid"]
    assert asked["Direction"] == "outbound-dial"


async def test_a_caller_without_a_number_needs_a_caller_id_and_nobody_dials_himself() -> None:
    for caller, attributes, target, status in (
        ("client:joe", "", AGENT, "failed"),
        ("sip:joe@example.com", "", AGENT, "failed"),
        ("client:joe", ' callerId="+18005551212"', AGENT, "completed"),
        ("+14158675310", "", OURS, "busy"),
        ("+14158675310", "", "+14158675310", "busy"),
    ):
        dial = response(f'<Dial action="/done"{attributes}>{target}</Dial>')
        async with ScriptedApp(twiml=dial, done=response("<Hangup/>")) as app:
            report = await app.carrier(speed=50).call([], from_number=caller, to_number=OURS)
            assert app.requests("/done")[0].form["DialCallStatus"] == status
        assert bool(report.events("dial_refused")) == (status != "completed")


async def test_two_calls_hear_each_other_in_a_conference_until_one_ends_it() -> None:
    def join(extra: str) -> str:
        conference = f'<Conference statusCallback="/room" statusCallbackEvent="start end join leave" {extra}>r</Conference>'
        return response(f'<Dial action="/done">{conference}</Dial>')

    answers = [join('startConferenceOnEnter="false"'), join('endConferenceOnExit="true"')]
    async with ScriptedApp(twiml=answers, room="", done=response("<Hangup/>")) as app:
        carrier = app.carrier()
        first = asyncio.create_task(carrier.call([STAY]))
        while not app.requests("/room"):  # noqa: ASYNC110 - the app has no event for it
            await asyncio.sleep(0.01)
        second = await carrier.call([Silence(200), Speak(tone(400), name="hello"), Silence(300)])
        report = await first
        events = [request.form["StatusCallbackEvent"] for request in app.requests("/room")]
        assert [request.form["DialCallStatus"] for request in app.requests("/done")] == ["completed"]
    assert audioop.lin2ulaw(tone(400), 2)[320:1600] in report.heard
    assert second.end is CallEnd.CALLER
    assert events[:3] == ["participant-join", "conference-start", "participant-join"]
    assert sorted(events[3:]) == ["conference-end", "participant-leave", "participant-leave"]


@pytest.mark.parametrize(
    ("attributes", "keys", "digits"),
    [
        ('numDigits="4"', "47119", "4711"),
        ("", "12#", "12"),
        ('finishOnKey=""', "12#", "12#"),
        ('timeout="2"', "9", "9"),
    ],
)
async def test_keys_are_gathered_and_asked_about(attributes: str, keys: str, digits: str) -> None:
    gather = response(f'<Gather {attributes} action="/keys"><Say>Please type</Say></Gather>', "<Say>nothing</Say>")
    async with ScriptedApp(twiml=gather, keys=response("<Hangup/>")) as app:
        report = await app.carrier(speed=20).call([Silence(100), Press(keys, gap_ms=100), STAY])
        assert [request.form["Digits"] for request in app.requests("/keys")] == [digits]
    assert "nothing" not in report.said


@pytest.mark.parametrize("asks", ["true", "false"])
async def test_no_keys_lead_on_or_to_the_action(asks: str) -> None:
    gather = response(f'<Gather timeout="1" actionOnEmptyResult="{asks}" action="/keys"/>', "<Say>nothing</Say>")
    async with ScriptedApp(twiml=gather, keys=response("<Hangup/>")) as app:
        report = await app.carrier(speed=20).call([STAY])
        assert len(app.requests("/keys")) == (asks == "true")
    assert report.said == (() if asks == "true" else ("nothing",))
