"""<Record>: what the caller says is kept, told about, and had from the API."""

import asyncio
import io
import urllib.request
import wave

import audioop
from scripted_app import STAY, ScriptedApp, response, tone
from test_carrier_rest import client

from callbot.simulators.twilio import Press, RestApi, Silence, Speak

RECORD = response('<Record timeout="2" maxLength="6" action="/done" recordingStatusCallback="/kept"/>', "<Say>nothing</Say>")


async def test_a_recording_ends_by_a_key_is_told_about_and_can_be_had() -> None:
    async with ScriptedApp(twiml=RECORD, kept="", done=response("<Hangup/>")) as app:
        carrier = app.carrier()
        report = await carrier.call([Speak(tone(1000)), Press("5"), STAY])
        (done,), (kept,) = app.requests("/done"), app.requests("/kept")
        async with RestApi(carrier) as api:
            (listed,) = await asyncio.to_thread(client(api, carrier).calls(report.call_sid).recordings.list)
            address = kept.form["RecordingUrl"].replace("https://api.twilio.com", api.url) + ".wav"
            opener = urllib.request.build_opener(
                _with_password(carrier.options.account_sid, carrier.options.auth_token, api.url)
            )
            content = await asyncio.to_thread(lambda: opener.open(address).read())
    assert done.form["Digits"] == "5"
    assert done.form["RecordingSid"] == kept.form["RecordingSid"] == listed.sid
    assert kept.form["RecordingStatus"] == "completed"
    assert (listed.call_sid, listed.duration) == (report.call_sid, done.form["RecordingDuration"])
    with wave.open(io.BytesIO(content)) as recording:
        assert (recording.getframerate(), recording.getnchannels()) == (8000, 1)
        assert audioop.rms(recording.readframes(recording.getnframes()), 2) > 2000
    assert "nothing" not in report.said


async def test_a_recording_ends_by_silence_length_or_hanging_up() -> None:
    async with ScriptedApp(twiml=RECORD, kept="", done=response("<Hangup/>")) as app:
        carrier = app.carrier()
        await carrier.call([Speak(tone(500)), STAY])
        await carrier.call([Speak(tone(8000)), STAY])
        await carrier.call([Speak(tone(1000))])
        forms = [request.form for request in app.requests("/done")]
    lengths_s = [int(form["RecordingDuration"]) for form in forms]
    assert lengths_s[0] in {2, 3}
    assert lengths_s[1] in {6, 7}
    assert [form["Digits"] for form in forms] == ["", "", "hangup"]
    assert [form["CallStatus"] for form in forms[:2]] == ["in-progress"] * 2


async def test_nothing_said_is_no_recording_and_the_next_verb_follows() -> None:
    async with ScriptedApp(twiml=RECORD, kept="") as app:
        carrier = app.carrier()
        report = await carrier.call([Silence(100), STAY])
        assert app.requests("/kept") == []
    assert report.said == ("nothing",)
    assert carrier.recordings.of() == []


def _with_password(user: str, password: str, url: str) -> urllib.request.BaseHandler:
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, url, user, password, is_authenticated=True)
    return urllib.request.HTTPBasicAuthHandler(passwords)
