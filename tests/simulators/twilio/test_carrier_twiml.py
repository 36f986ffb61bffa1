"""TwiML is read as Twilio documents it: what it does not know is a warning, and the rest is carried out."""

from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.simulators.twilio.twiml import (
    Connect,
    Dial,
    Gather,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    Start,
    Stop,
    Stream,
    Target,
    Unperformed,
    Verb,
)
from callbot.simulators.twilio.twiml_reader import Reading, TwimlError, parse
from callbot.simulators.twilio.twiml_schema import SHAPES, UNPERFORMED

SAID = (Say("behind it"),)


def test_every_verb_is_read_with_its_attributes() -> None:
    reading = parse(
        """<?xml version="1.0" encoding="UTF-8"?>
        <Response>
          <Say voice="Polly.Joanna" language="en-US" loop="2">One &amp;
            two</Say>
          <Pause length="3"/><Pause/>
          <Play digits="12"/>
          <Connect action="/next" method="GET">
            <Stream url="wss://bot.example/ws" name="n" statusCallback="/st" statusCallbackMethod="GET">
              <Parameter name="token" value="a&lt;b"/><Parameter name="empty" value=""/>
            </Stream>
          </Connect>
          <Dial timeout="9" callerId="+1" action="/done"><Number>+2</Number></Dial><Dial>+3</Dial>
          <Redirect method="POST">/again?a=1</Redirect>
          <Hangup/>
        </Response>"""
    )
    parameters = (("token", "a<b"), ("empty", ""))
    assert reading.warnings == ()
    assert reading.verbs == (
        Say("One & two", "Polly.Joanna", "en-US", 2),
        Pause(3),
        Pause(1),
        Play(digits="12"),
        Connect(Stream("wss://bot.example/ws", "n", "inbound_track", "/st", "GET", parameters), "/next", "GET"),
        Dial((Target("Number", "+2"),), "/done", "POST", 9, caller_id="+1"),
        Dial((Target("Number", "+3"),)),
        Redirect("/again?a=1"),
        Hangup(),
    )
    assert parse("<Response/>") == Reading((), ())
    assert parse('<Response><Reject reason="busy"/></Response>') == Reading((Reject("busy"),), ())


@pytest.mark.parametrize(
    ("inside", "verb"),
    [
        ('<Say>A <break time="1s"/><emphasis level="strong">strong</emphasis> word.</Say>', Say("A strong word.")),
        ('<Say><prosody rate="slow">one <say-as interpret-as="digits">12</say-as></prosody></Say>', Say("one 12")),
        (
            '<Dial sequential="true"><Number statusCallbackEvent="answered completed">+1</Number><Sip>sip:a@b</Sip></Dial>',
            Dial(
                (Target("Number", "+1", status_callback_events=("answered", "completed")), Target("Sip", "sip:a@b")),
                sequential=True,
            ),
        ),
        (
            "<Dial><Application><ApplicationSid>AP1</ApplicationSid></Application></Dial>",
            Dial((Target("Application", "AP1"),)),
        ),
        (
            '<Dial><Client><Identity>joe</Identity><Parameter name="a" value="b"/></Client></Dial>',
            Dial((Target("Client", "joe"),)),
        ),
        ("<Dial><WhatsApp>+1</WhatsApp></Dial>", Dial((Target("WhatsApp", "+1"),))),
        (
            '<Dial><Conference startConferenceOnEnter="false" endConferenceOnExit="true" beep="false">room</Conference></Dial>',
            Dial((Target("Conference", "room", starts_conference=False, ends_conference=True),)),
        ),
        (
            '<Gather input="dtmf speech" numDigits="4" finishOnKey="" action="/g"><Say>Type</Say></Gather>',
            Gather((Say("Type"),), "/g", digits=4, finish_on_key=""),
        ),
        ('<Record maxLength="9" action="/r" playBeep="true"/>', Record("/r", max_length_s=9)),
        ('<Start><Stream url="wss://x/" track="both_tracks" name="n"/></Start>', Start(Stream("wss://x/", "n", "both_tracks"))),
        ('<Stop><Stream name="n"/></Stop>', Stop("n")),
        ('<Connect><ConversationRelay url="wss://x/" welcomeGreeting="hi"/></Connect>', Unperformed("ConversationRelay")),
        ('<Connect><VirtualAgent connectorName="x"/></Connect>', Unperformed("VirtualAgent")),
        ('<Pay paymentConnector="x"><Prompt for="card"><Say>hi</Say></Prompt></Pay>', Unperformed("Pay")),
        ("<Enqueue>support</Enqueue>", Unperformed("Enqueue")),
        ('<Start><Transcription statusCallbackUrl="https://x/"/></Start>', Unperformed("Transcription")),
        ("<Refer><Sip>sip:a@b</Sip></Refer>", Unperformed("Refer")),
    ],
)
def test_valid_twiml_is_never_accused(inside: str, verb: Verb) -> None:
    assert parse(f"<Response>{inside}</Response>") == Reading((verb,), ())


@pytest.mark.parametrize(
    ("inside", "reason", "kept"),
    [
        ("<say>hi</say>", "case-sensitive", ()),
        ("<Say/>", "nothing to say", ()),
        ("hello", "cannot hold text", ()),
        ('<Say Voice="x">hi</Say>', "no attribute Voice", (Say("hi"),)),
        ('<Pause length="1.5"/>', "whole number", (Pause(1),)),
        ("<Connect/>", "exactly one noun", ()),
        ("<Connect><Stream/></Connect>", "no url", (Connect(Stream("")),)),
        (
            '<Connect><Stream url="wss://x/"><Param/></Stream></Connect>',
            "not known in <Stream>",
            (Connect(Stream("wss://x/")),),
        ),
        (
            '<Connect><Stream url="wss://x/"><Say>a</Say></Stream></Connect>',
            "cannot hold <Say>",
            (Connect(Stream("wss://x/")),),
        ),
        (
            '<Connect><Stream url="wss://x/"><Parameter name="a"/></Stream></Connect>',
            "a name and a value",
            (Connect(Stream("wss://x/")),),
        ),
        ('<Connect method="PUT"><Stream url="wss://x/"/></Connect>', "GET or POST", (Connect(Stream("wss://x/")),)),
        ("<Dial/>", "nobody to call", ()),
        ("<Dial><Number/></Dial>", "is empty", ()),
        ('<Dial sequential="yes">+1</Dial>', "true or false", (Dial((Target("Number", "+1"),)),)),
        ('<Reject reason="tired"/>', "only rejected and busy", (Reject(),)),
        ("<Say>hi</Say><Reject/>", "first verb", (Say("hi"), Reject())),
        ("<Hangup>now</Hangup>", "cannot hold text", (Hangup(),)),
        ("<Start/>", "holds nothing", ()),
    ],
)
def test_a_mistake_is_a_warning_and_the_rest_is_kept(inside: str, reason: str, kept: tuple[Any, ...]) -> None:
    reading = parse(f"<Response>{inside}<Say>behind it</Say></Response>")
    assert reading.verbs == (*kept, *SAID)
    assert any(reason in warning for warning in reading.warnings)


def test_a_parameter_pair_must_stay_under_500_characters_and_its_name_be_unique() -> None:
    def document(*pairs: tuple[str, str]) -> str:
        inner = "".join(f'<Parameter name="{name}" value="{value}"/>' for name, value in pairs)
        return f'<Response><Connect><Stream url="wss://x/">{inner}</Stream></Connect></Response>'

    assert parse(document(("token", "x" * 494))).warnings == ()
    assert "under 500" in parse(document(("token", "x" * 495))).warnings[0]
    assert "twice" in parse(document(("a", "1"), ("a", "2"))).warnings[0]


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE r [<!ENTITY a "b">]><Response><Say>&a;</Say></Response>',
        "<Reply/>",
        "",
        "not xml",
        "<Response/><Response/>",
        "<Response><Say>hi",
        "<a>" * 30 + "</a>" * 30,
    ],
)
def test_what_is_no_response_document_cannot_be_parsed(document: str) -> None:
    with pytest.raises(TwimlError) as caught:
        parse(document)
    assert caught.value.code == 12100


MARKUP = st.recursive(
    st.text(alphabet="ab <&;", max_size=6).map(escape),
    lambda inner: st.builds(
        lambda name, attributes, parts: f"<{name}{attributes}>{''.join(parts)}</{name}>",
        st.sampled_from([*SHAPES, *UNPERFORMED, "break", "Oops"]),
        st.dictionaries(
            st.sampled_from(sorted({name for shape in SHAPES.values() for name in shape.attributes} | {"oops"})),
            st.sampled_from(["", "1", "-1", "true", "GET", "https://[bad", "99999999999"]),
            max_size=3,
        ).map(lambda given: "".join(f' {name}="{value}"' for name, value in given.items())),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@given(st.lists(MARKUP, max_size=4).map("".join))
def test_anything_that_is_xml_is_read(inside: str) -> None:
    reading = parse(f"<Response>{inside}</Response>")
    assert all(warning for warning in reading.warnings)
    assert len(reading.verbs) <= inside.count("<")
