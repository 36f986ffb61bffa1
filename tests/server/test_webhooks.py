"""What Twilio is told, request by request, over HTTP."""

import asyncio
import hashlib
import re
import xml.etree.ElementTree as ET
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from phone_line import (
    ACCOUNT,
    AUTH_TOKEN,
    CALL,
    CALLER,
    ORIGIN,
    OTHER_TOKEN,
    EchoCall,
    Line,
    make_settings,
    open_line,
    token_in,
)
from twilio.request_validator import RequestValidator
from yarl import URL

from callbot.messages.terms import Ending
from callbot.server.http.app import create_app
from callbot.server.services import ServerServices

NEXT = "/twiml/next?stream_no=1"
FORM = "application/x-www-form-urlencoded"


def root(document: str | bytes) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314  our own answer


def verbs(document: str) -> list[str]:
    return [verb.tag for verb in root(document)]


async def test_a_call_is_connected_to_a_stream_with_its_token(line: Line) -> None:
    status, document = await line.post("/twiml", line.form())
    assert status == 200
    (connect,) = root(document)
    assert connect.attrib == {"action": "https://bot.example/twiml/next?stream_no=1", "method": "POST"}
    (stream,) = connect
    assert stream.attrib == {
        "url": "wss://bot.example/ws/twilio",
        "statusCallback": "https://bot.example/twilio/status",
        "statusCallbackMethod": "POST",
    }
    parameters = {parameter.get("name"): parameter.get("value") for parameter in stream}
    assert parameters == {"token": token_in(document), "stream_no": "1"}
    assert len(token_in(document)) >= 32
    assert line.prepared == [CALL]
    (answered,) = line.events("webhook.answered")
    assert (answered["answer"], answered["call_sid"], answered["caller"]) == ("connect", CALL, "***5310")


async def test_the_answer_is_xml_and_not_kept(line: Line) -> None:
    fields = line.form()
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + "/twiml", fields)
    async with line.http.post(
        f"http://127.0.0.1:{line.port}/twiml", data=fields, headers={"X-Twilio-Signature": signature}
    ) as answer:
        assert answer.content_type == "text/xml"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_repeated_webhook_is_answered_the_same_and_prepares_nothing_again(line: Line) -> None:
    first = await line.post("/twiml", line.form())
    assert await line.post("/twiml", line.form(), token=OTHER_TOKEN) == first
    assert line.prepared == [CALL]


async def test_a_webhook_replayed_after_its_stream_gets_no_token(line: Line) -> None:
    token = await line.token()
    async with line.stream(token):
        await line.call()
        status, document = await line.post("/twiml", line.form())
    assert (status, verbs(document)) == (200, ["Hangup"])
    assert line.reasons("webhook.refused") == ["replayed"]


async def test_a_callback_that_fails_does_not_cost_the_caller_the_answer() -> None:
    def fail(call_sid: str) -> None:
        raise RuntimeError("no session")

    async with open_line() as line:
        object.__setattr__(line.services, "on_webhook", fail)
        assert token_in((await line.post("/twiml", line.form()))[1])
        (failed,) = line.events("webhook.prepare_failed")
        assert failed["call_sid"] == CALL


@pytest.mark.parametrize(
    ("ending", "stream_no", "fallback", "expected"),
    [
        (Ending.HANG_UP, 1, "", ["Hangup"]),
        (Ending.APOLOGISE, 1, "", ["Say", "Hangup"]),
        (Ending.APOLOGISE, 1, "+493099999", ["Say", "Dial"]),
        (Ending.CONTINUE, 1, "", ["Connect"]),
        (Ending.CONTINUE, 2, "", ["Pause", "Connect"]),
        (Ending.CONTINUE, 30, "", ["Pause", "Connect"]),
        (None, 1, "", ["Connect"]),
        (None, 2, "", ["Pause", "Connect"]),
        (None, 999, "", ["Pause", "Connect"]),
    ],
)
async def test_what_follows_a_stream_depends_on_its_ending_and_its_number(
    ending: Ending | None, stream_no: int, fallback: str, expected: list[str]
) -> None:
    async with open_line(fallback_number=fallback, apology_language="de-DE") as line:
        if ending is not None:
            line.services.store.record_ending(CALL, ending)
        status, document = await line.post(f"/twiml/next?stream_no={stream_no}", line.form(CallStatus="in-progress"))
    assert (status, verbs(document)) == (200, expected)
    if "Connect" in expected:
        assert f'action="https://bot.example/twiml/next?stream_no={stream_no + 1}"' in document
        assert f'name="stream_no" value="{stream_no + 1}"' in document
    if "Say" in expected:
        assert 'language="de-DE"' in document
    if "Dial" in expected:
        assert ">+493099999</Dial>" in document
        assert f'action="https://bot.example/twiml/next?stream_no={stream_no}&amp;dialled=1"' in document
        assert "callerId" not in document


@pytest.mark.parametrize(("fallback", "expected"), [("", ["Say", "Hangup"]), ("+493099999", ["Say", "Dial"])])
async def test_a_call_whose_streams_end_too_fast_gets_the_apology(fallback: str, expected: list[str]) -> None:
    async with open_line(fallback_number=fallback, stream_attempts=3) as line:
        form = line.form(CallStatus="in-progress")
        documents = [await line.post("/twiml", line.form())]
        # One of them is asked twice, as Twilio does after a time-out.
        documents += [await line.post(f"/twiml/next?stream_no={stream_no}", form) for stream_no in (1, 2, 2, 3)]
    answers = [verbs(document) for _, document in documents]
    assert answers == [["Connect"], ["Connect"], ["Pause", "Connect"], ["Pause", "Connect"], expected]


@pytest.mark.parametrize(
    ("dial_status", "expected"),
    [
        ("completed", ["Hangup"]),
        ("answered", ["Hangup"]),
        ("no-answer", ["Say", "Hangup"]),
        ("busy", ["Say", "Hangup"]),
        ("failed", ["Say", "Hangup"]),
        ("canceled", ["Say", "Hangup"]),
        ("", ["Say", "Hangup"]),
    ],
)
async def test_a_caller_whose_person_was_not_reached_hears_the_apology(dial_status: str, expected: list[str]) -> None:
    async with open_line(fallback_number="+493099999") as line:
        line.services.store.record_ending(CALL, Ending.APOLOGISE)
        form = line.form(CallStatus="in-progress", DialCallStatus=dial_status)
        status, document = await line.post("/twiml/next?stream_no=2&dialled=1", form)
        assert (status, verbs(document)) == (200, expected)
        if "Say" in expected:
            assert line.services.settings.apology in document
        (answered,) = line.events("webhook.answered")
    assert (answered["dial_status"], answered["stream_no"]) == (dial_status or "unknown", 2)


@pytest.mark.parametrize(
    ("fields", "caller_id"),
    [
        ({"From": "+14155550100"}, None),
        ({"From": "client:alice"}, "+493012345678"),
        ({"From": "sip:alice@203.0.113.20:5060"}, "+493012345678"),
        ({"From": "whatsapp:+14155550100"}, "+493012345678"),
        ({"From": "anonymous"}, "+493012345678"),
    ],
)
async def test_the_person_is_dialled_with_a_caller_id_that_twilio_accepts(
    fields: dict[str, str], caller_id: str | None
) -> None:
    async with open_line(fallback_number="+493099999") as line:
        line.services.store.record_ending(CALL, Ending.APOLOGISE)
        form = line.form(CallStatus="in-progress", To="+493012345678", **fields)
        _, document = await line.post(NEXT, form)
    assert verbs(document) == ["Say", "Dial"]
    assert ('callerId="' in document) is (caller_id is not None)
    assert caller_id is None or f'callerId="{caller_id}"' in document


@pytest.mark.parametrize(
    "fields",
    [
        {"From": "+493099999"},
        {"From": "493099999"},
        {"From": "whatsapp:+493099999"},
        {"From": "sip:+493099999@host:5060"},
        {"To": "+493099999"},
        {"From": "client:alice", "To": "client:bot"},  # no caller id that Twilio would accept
    ],
)
async def test_who_is_on_the_line_already_is_not_dialled(fields: dict[str, str]) -> None:
    async with open_line(fallback_number="+49 30 99999") as line:
        line.services.store.record_ending(CALL, Ending.APOLOGISE)
        _, document = await line.post(NEXT, line.form(CallStatus="in-progress", **fields))
    assert verbs(document) == ["Say", "Hangup"]


async def test_withheld_callers_are_many_people_and_a_number_is_one_in_every_spelling() -> None:
    async with open_line(max_calls_per_caller_per_minute=2) as line:
        found = {}
        for spelling in ("anonymous", "", "+14155550100"):
            forms = [line.form(CallSid=f"CA{number:032x}", From=spelling) for number in range(5)]
            found[spelling] = [verbs((await line.post("/twiml", form))[1])[0] for form in forms]
    assert found["anonymous"] == found[""] == ["Connect"] * 5
    assert found["+14155550100"] == ["Connect"] * 2 + ["Say"] * 3
    async with open_line(max_calls_per_caller_per_minute=2) as line:
        spellings = ("+14155550100", "14155550100", "whatsapp:+14155550100")
        forms = [line.form(CallSid=f"CA{number:032x}", From=spelling) for number, spelling in enumerate(spellings)]
        assert [verbs((await line.post("/twiml", form))[1])[0] for form in forms] == ["Connect", "Connect", "Say"]


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
async def test_a_call_that_is_over_is_told_nothing(line: Line, status: str) -> None:
    for target in ("/twiml", NEXT):
        code, document = await line.post(target, line.form(CallStatus=status))
        assert (code, verbs(document)) == (200, [])
    assert line.prepared == []


@pytest.mark.parametrize(
    "query", ["", "?stream_no=", "?stream_no=0", "?stream_no=-1", "?stream_no=1e3", "?stream_no=1000", "?stream_no=x"]
)
async def test_a_stream_number_that_was_never_ours_is_refused(line: Line, query: str) -> None:
    assert await line.post("/twiml/next" + query, line.form()) == (400, "")
    assert line.reasons("webhook.refused") == ["bad_stream_no"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"CallSid": ""}, 400, "bad_sid"),
        ({"CallSid": "CA" + "1" * 31}, 400, "bad_sid"),
        ({"CallSid": CALL + "\n"}, 400, "bad_sid"),
        ({"CallSid": "../" + CALL}, 400, "bad_sid"),
        ({"AccountSid": "AC"}, 400, "bad_sid"),
        ({"AccountSid": "AC" + "b" * 32}, 403, "wrong_account"),
    ],
)
async def test_identifiers_are_matched_before_they_are_keys(
    line: Line, fields: dict[str, str], status: int, reason: str
) -> None:
    for target in ("/twiml", NEXT, "/twilio/status"):
        assert await line.post(target, line.form(**fields)) == (status, "")
    assert set(line.reasons("webhook.refused")) == {reason}


async def test_denied_and_unlisted_callers_are_rejected_unanswered() -> None:
    async with open_line(deny_callers="+1415*") as line:
        assert verbs((await line.post("/twiml", line.form()))[1]) == ["Reject"]
        assert line.reasons("webhook.refused") == ["caller_denied"]
    async with open_line(allow_callers="+1415*") as line:
        assert verbs((await line.post("/twiml", line.form()))[1]) == ["Connect"]
        for caller in ("", "anonymous", "+266696687", "+4930", "client:+1415"):
            assert verbs((await line.post("/twiml", line.form(From=caller)))[1]) == ["Reject"]
        assert set(line.reasons("webhook.refused")) == {"caller_not_allowed"}


async def test_too_many_calls_and_too_many_of_one_caller_hear_that_all_lines_are_busy() -> None:
    async with open_line(max_calls=1, max_calls_per_caller_per_minute=2) as line:
        sids = [f"CA{number:032x}" for number in range(4)]
        for sid in (sids[0], sids[0], sids[1]):  # the repeated webhook counts once
            assert verbs((await line.post("/twiml", line.form(CallSid=sid)))[1]) == ["Connect"]
        assert verbs((await line.post("/twiml", line.form(CallSid=sids[2])))[1]) == ["Say", "Hangup"]
        token = await line.token(sids[0])
        async with line.stream(token, sids[0]):
            await line.call()
            assert verbs((await line.post("/twiml", line.form(CallSid=sids[3], From="+4930")))[1]) == ["Say", "Hangup"]
            other_next = line.form(CallSid=sids[1], CallStatus="in-progress")
            assert verbs((await line.post(NEXT, other_next))[1]) == ["Say", "Hangup"]
        assert line.reasons("webhook.refused") == ["caller_rate", "too_many_calls", "too_many_calls"]


async def test_status_callbacks_are_taken_in_any_signed_form(line: Line) -> None:
    stream = {"StreamEvent": "stream-error", "StreamError": "31921 - closed\n\x1b[2J", "StreamSid": "MZ" + "2" * 32}
    assert (await line.post("/twilio/status", line.form(**stream)))[0] == 204
    (event,) = line.events("stream.status")
    assert (event["stream_event"], event["error"], event["log_level"]) == ("stream-error", "31921 - closed [2J", "warning")

    query = urlencode(line.form(CallStatus="in-progress"))
    target = f"/twilio/status?{query}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + target, {})
    url = URL(f"http://127.0.0.1:{line.port}{target}", encoded=True)
    async with line.http.get(url, headers={"X-Twilio-Signature": signature}) as answer:
        assert answer.status == 204

    body = orjson.dumps({"CallSid": CALL, "AccountSid": ACCOUNT, "CallStatus": "completed", "nested": {"a": 1}})
    target = f"/twilio/status?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + target, {})
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/json"}
    async with line.http.post(f"http://127.0.0.1:{line.port}{target}", data=body, headers=headers) as answer:
        assert answer.status == 204
    async with line.http.post(f"http://127.0.0.1:{line.port}{target}", data=body + b" ", headers=headers) as answer:
        assert answer.status == 403
    assert [event["status"] for event in line.events("call.status")] == ["in-progress", "completed"]


async def test_a_finished_call_gets_no_new_stream_from_a_late_question(line: Line) -> None:
    await line.token()
    assert (await line.post("/twilio/status", line.form(CallStatus="completed")))[0] == 204
    assert verbs((await line.post(NEXT, line.form(CallStatus="in-progress")))[1]) == ["Hangup"]


async def test_a_body_is_read_only_up_to_its_limit(line: Line) -> None:
    async def pieces() -> object:
        for _ in range(40):
            yield b"a" * 4096

    signature = {"X-Twilio-Signature": "A" * 27 + "=", "Content-Type": FORM}
    for body in (b"a" * 70_000, pieces()):
        async with line.http.post(f"http://127.0.0.1:{line.port}/twiml", data=body, headers=signature) as answer:
            assert answer.status == 413
    assert line.reasons("webhook.refused") == ["body_too_large"] * 2


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with open_line(request_timeout_s=0.05) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(
            b"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: " + b"A" * 27 + b"=\r\n\r\nCallSid="
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
        assert line.reasons("webhook.refused") == ["body_too_slow"]


@pytest.mark.parametrize("path", ["/twiml", "/ws/twilio", "/nowhere", "/healthz"])
async def test_a_header_block_has_a_limit(path: str) -> None:
    async with open_line(max_header_bytes=4096) as line:
        long = {"X-Long": "a" * 4096}
        if path == "/ws/twilio":
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await line.http.ws_connect(f"http://127.0.0.1:{line.port}{path}", headers=long)
            assert refused.value.status == 431
            assert line.reasons("stream.refused") == ["headers_too_large"]
        else:
            async with line.http.get(f"http://127.0.0.1:{line.port}{path}", headers=long) as answer:
                assert (answer.status, await answer.read()) == (431, b"")
            assert line.reasons("webhook.refused") == ["headers_too_large"]


async def test_a_header_block_that_never_ends_is_cut_off() -> None:
    async with open_line(max_header_bytes=4096) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"POST /twiml HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000)
        assert (await reader.read()).startswith(b"HTTP/1.1 431")
        writer.close()
        await writer.wait_closed()


async def test_a_repeated_signature_header_is_a_plain_403(line: Line) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    right = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + "/twiml", {})
    header = f"X-Twilio-Signature: {right}\r\n"
    writer.write(f"POST /twiml HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{header * 2}\r\n".encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert line.reasons("webhook.refused") == ["signature_repeated"]


async def test_a_proxys_headers_change_nothing(line: Line) -> None:
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "Host": "evil",
    }
    status, document = await line.post("/twiml", line.form(), **forged)
    assert status == 200
    assert "evil" not in document
    evil = RequestValidator(AUTH_TOKEN).compute_signature("https://evil.example/twiml", line.form())
    assert (await line.post("/twiml", line.form(), signature=evil, **forged))[0] == 403


async def test_caller_text_is_escaped_and_appears_in_no_answer(line: Line) -> None:
    hostile = '"/><Dial>+1900</Dial><Say x="'
    status, document = await line.post("/twiml", line.form(From=hostile, CallerName=hostile, To=hostile))
    assert (status, verbs(document)) == (200, ["Connect"])
    assert "1900" not in document


texts = st.text(st.characters(codec="utf-8"), max_size=60)
odd_values = st.one_of(texts, st.sampled_from([CALL, ACCOUNT, CALLER, "completed", "anonymous", "\x00", "%", "a=b&c", "+"]))
names = st.sampled_from(["From", "To", "CallerName", "CallStatus", "StreamEvent", "StreamError", "CallDuration", "X"])


async def ask(target: str, body: bytes, signature: str, content_type: str = FORM) -> tuple[int, bytes]:
    with structlog.testing.capture_logs():
        services = ServerServices.from_settings(make_settings(), call_factory=EchoCall)
        client = create_app(services).test_client()
        headers = {"X-Twilio-Signature": signature, "Content-Type": content_type}
        answer = await client.post(target, data=body, headers=headers)
        return answer.status_code, await answer.get_data(as_text=False)


@settings(max_examples=50)
@given(
    fields=st.dictionaries(st.one_of(names, texts), odd_values, max_size=12),
    target=st.sampled_from(["/twiml", NEXT, "/twilio/status"]),
)
def test_any_signed_form_of_a_call_is_answered_with_well_formed_xml(fields: dict[str, str], target: str) -> None:
    fields = {**fields, "CallSid": CALL, "AccountSid": ACCOUNT}
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + target, fields)
    status, document = asyncio.run(ask(target, urlencode(fields).encode(), signature))
    if target == "/twilio/status":
        assert (status, document) == (204, b"")
    else:
        assert status == 200
        assert root(document).tag == "Response"
        assert not re.search(rb"[\x00-\x08]", document)


@settings(max_examples=50)
@given(
    body=st.binary(max_size=300),
    signature=st.one_of(st.just("A" * 27 + "="), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)),
    content_type=st.sampled_from([FORM, "application/json", "multipart/form-data; boundary=x", "text/plain", "x"]),
    query=st.sampled_from(["", "?bodySHA256=0", "?stream_no=1&bodySHA256", "?&&=%"]),
)
def test_any_unsigned_body_is_a_plain_403(body: bytes, signature: str, content_type: str, query: str) -> None:
    assert asyncio.run(ask("/twiml" + query, body, signature, content_type)) == (403, b"")
