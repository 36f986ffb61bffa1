"""TwiML is read as strictly as Twilio documents it."""

import pytest

from callbot.simulators.twilio.twiml import (
    Connect,
    Dial,
    Hangup,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    Stream,
    TwimlError,
    parse,
)


def test_every_verb_is_read_with_its_attributes() -> None:
    verbs = parse(
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
    assert verbs == (
        Say("One & two", "Polly.Joanna", "en-US", 2),
        Pause(3),
        Pause(1),
        Play(digits="12"),
        Connect(Stream("wss://bot.example/ws", "n", "inbound_track", "/st", "GET", parameters), "/next", "GET"),
        Dial(("+2",), "/done", "POST", 9, caller_id="+1"),
        Dial(("+3",)),
        Redirect("/again?a=1"),
        Hangup(),
    )
    assert parse("<Response/>") == ()
    assert parse('<Response><Reject reason="busy"/></Response>') == (Reject("busy"),)


@pytest.mark.parametrize(
    ("inside", "code", "reason"),
    [
        ("<say>hi</say>", 12200, "case-sensitive"),
        ("<Gather/>", 12200, "cannot perform"),
        ("<Say>hi", 12100, "mismatched tag"),
        ("<Say/>", 12200, "nothing to say"),
        ("hello", 12200, "cannot hold text"),
        ('<Say Voice="x">hi</Say>', 12200, "no attribute Voice"),
        ('<Pause length="1.5"/>', 12200, "whole number"),
        ("<Connect/>", 12200, "exactly one <Stream>"),
        ("<Connect><Room>x</Room></Connect>", 12200, "exactly one <Stream>"),
        ("<Connect><Stream/></Connect>", 12200, "no url"),
        ('<Connect><Stream url="wss://x/"><Param/></Stream></Connect>', 12200, "<Parameter> only"),
        ('<Connect><Stream url="wss://x/"><Parameter name="a"/></Stream></Connect>', 12200, "a name and a value"),
        ('<Connect method="PUT"><Stream url="wss://x/"/></Connect>', 12200, "GET or POST"),
        ("<Dial/>", 12200, "nobody to call"),
        ("<Redirect/>", 12200, "no address"),
        ('<Reject reason="tired"/>', 12200, "only rejected and busy"),
        ("<Say>hi</Say><Reject/>", 12200, "first verb"),
        ("<Hangup>now</Hangup>", 12200, "cannot hold text"),
        ("<Say>a<b/>c</Say>", 12100, "mixes text and elements"),
    ],
)
def test_a_mistake_is_refused_with_twilios_code_and_a_reason(inside: str, code: int, reason: str) -> None:
    with pytest.raises(TwimlError, match=reason) as caught:
        parse(f"<Response>{inside}</Response>")
    assert caught.value.code == code


def test_a_parameter_pair_must_stay_under_500_characters_and_its_name_be_unique() -> None:
    def document(*pairs: tuple[str, str]) -> str:
        inner = "".join(f'<Parameter name="{name}" value="{value}"/>' for name, value in pairs)
        return f'<Response><Connect><Stream url="wss://x/">{inner}</Stream></Connect></Response>'

    assert parse(document(("token", "x" * 494)))
    with pytest.raises(TwimlError, match="under 500"):
        parse(document(("token", "x" * 495)))
    with pytest.raises(TwimlError, match="twice"):
        parse(document(("a", "1"), ("a", "2")))


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE r [<!ENTITY a "b">]><Response><Say>&a;</Say></Response>',
        "<Reply/>",
        "",
        "not xml",
        "<Response/><Response/>",
        "<a>" * 30 + "</a>" * 30,
    ],
)
def test_what_is_no_response_document_cannot_be_parsed(document: str) -> None:
    with pytest.raises(TwimlError) as caught:
        parse(document)
    assert caught.value.code == 12100
