import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import audioop
import pytest
from call_log import call_events

from callbot.simulators import voices
from callbot.telemetry.picture import draw_timeline
from callbot.telemetry.timeline import Call, calls_of

SVG = "{http://www.w3.org/2000/svg}"
SILENT_S = bytes([0xFF]) * 8000


def the_call() -> Call:
    (call,) = calls_of(call_events())
    return call


def spoken(at_s: int, name: str) -> bytes:
    return (SILENT_S * at_s + audioop.lin2ulaw(voices.caller(name), 2)).ljust(len(SILENT_S) * 22, b"\xff")


def drawn(call: Call | None = None, **about: list[tuple[float, object]]) -> ET.Element:
    marks = [(1.0, "1.1"), (1.5, "1.2"), (8.0, "2.1")]
    options = {"marks": marks, "clears": [(9.75, 4460.0)]} | about
    svg = draw_timeline(call or the_call(), spoken(4, "three_cards"), spoken(8, "number"), **options)  # type: ignore[arg-type]
    return ET.fromstring(svg)  # noqa: S314 - our own


def words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def of_class(picture: ET.Element, kind: str) -> list[ET.Element]:
    return [element for element in picture.iter() if element.get("class") == kind]


def test_it_opens_anywhere_without_script_or_outside_reference() -> None:
    picture = drawn()

    assert picture.tag == f"{SVG}svg"
    assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= {
        "svg",
        "title",
        "style",
        "rect",
        "line",
        "path",
        "text",
    }
    assert not any("href" in name or name.startswith("on") for element in picture.iter() for name in element.attrib)
    style = picture.findtext(f"{SVG}style") or ""
    assert "url(" not in style
    assert "prefers-color-scheme: dark" in style


def test_the_states_are_a_band_without_gaps_and_named_where_there_is_room() -> None:
    picture = drawn()
    band = [
        (float(rect.get("x", "0")), float(rect.get("width", "0")))
        for name in ("connecting", "streaming", "reconnecting", "draining")
        for rect in of_class(picture, name)
        if rect.get("height") == "24"
    ]

    assert len(band) == 5
    for (start, width), (following, _) in pairwise(sorted(band)):
        assert start + width == pytest.approx(following, abs=2)
    assert words(picture).count("streaming") == 3  # both stays, and the legend


def test_turns_waits_cuts_and_the_lost_link_are_told() -> None:
    told = words(drawn())

    assert {"turn 1, 2.8 s", "turn 2, 1.9 s", "830 ms", "880 ms", "1600 ms"} <= set(told)
    assert "caller cuts in, 4.5 s dropped" in told
    assert "link lost (link_lost), back after 340 ms" in told


def test_a_clear_without_an_interruption_is_a_line_of_its_own() -> None:
    told = words(drawn(clears=[(9.75, 4460.0), (19.0, 200.0)]))

    assert told.count("caller cuts in, 4.5 s dropped") == 1
    assert "clear, 200 ms dropped" in told


def test_every_mark_is_a_tick_at_its_time() -> None:
    picture = drawn()
    ticks = sorted({float(line.get("x1", "0")) for line in of_class(picture, "mark") if line.get("y1") == "458"})

    assert len(ticks) == 3
    assert (ticks[2] - ticks[0]) / (ticks[1] - ticks[0]) == pytest.approx(7.0 / 0.5, rel=0.02)


def test_sound_is_drawn_where_it_was_heard() -> None:
    (caller,) = (path for path in of_class(drawn(), "caller-peak") if path.tag == f"{SVG}path")
    upper = (caller.get("d") or "").split("L")[0].removeprefix("M").split()
    columns = [(float(x), float(y)) for x, y in zip(upper[::2], upper[1::2], strict=True)]
    middle = columns[0][1]
    loud = [x for x, y in columns if middle - y > 5]
    px_per_s = (columns[-1][0] - columns[0][0]) / 22

    assert (loud[0] - columns[0][0]) / px_per_s == pytest.approx(4.0, abs=0.2)
    assert (loud[-1] - columns[0][0]) / px_per_s < 4.0 + 3.26 + 0.1


def test_labels_do_not_overlap() -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    for text in drawn(clears=[(9.75, 4460.0), (10.2, 100.0), (10.3, 100.0)]).iter(f"{SVG}text"):
        if text.get("text-anchor") != "middle":
            continue
        width = len(text.text or "") * float(text.get("font-size", "12")) * 0.5
        x = float(text.get("x", "0"))
        rows.setdefault(text.get("y", ""), []).append((x - width / 2, x + width / 2))

    for spans in rows.values():
        for (_, end), (start, _) in pairwise(sorted(spans)):
            assert start >= end


def test_no_line_crosses_a_label() -> None:
    picture = drawn(clears=[(8.2, 100.0), (9.75, 4460.0), (10.2, 100.0), (12.1, 100.0), (17.8, 100.0)])
    strokes = [
        (float(line.get("x1", "0")), float(line.get("y1", "0")), float(line.get("y2", "0")))
        for kind in ("clear", "outage-edge")
        for line in of_class(picture, kind)
        if line.tag == f"{SVG}line" and float(line.get("y1", "0")) < 500  # the legend is below
    ]
    labels = [label for kind in ("clear-text", "outage-text", "latency-text") for label in of_class(picture, kind)]

    assert strokes
    assert labels
    for label in labels:
        half = len(label.text or "") * float(label.get("font-size", "12")) * 0.25
        x, y = float(label.get("x", "0")), float(label.get("y", "0"))
        assert not [at for at, top, bottom in strokes if abs(at - x) < half and top < y < bottom]


def test_a_stay_too_short_to_be_drawn_to_scale_is_on_top() -> None:
    events = [line | {"t_ms": line["t_ms"] + (1 if line["t_ms"] < 16340 else -335)} for line in call_events()]
    (call,) = calls_of(events)
    picture = drawn(call)
    order = [rect.get("class") for rect in picture.iter(f"{SVG}rect") if rect.get("height") == "24"]
    (stay,) = (rect for rect in of_class(picture, "reconnecting") if rect.get("height") == "24")

    assert order.index("reconnecting") > max(index for index, kind in enumerate(order) if kind == "streaming")
    assert float(stay.get("width", "0")) >= 2


def test_text_of_the_log_cannot_break_out() -> None:
    evil = '</text><script>alert("x")</script>&\x00\x1b'
    events = [event | {"caller": evil, "model": evil, "reason": evil, "cause": evil, "to": evil} for event in call_events()]
    (call,) = calls_of(events)

    picture = drawn(call)

    assert not list(picture.iter(f"{SVG}script"))
    assert any('<script>alert("x")' in text for text in words(picture))


def test_a_recording_without_a_log_is_drawn_too() -> None:
    picture = ET.fromstring(draw_timeline(None, b"", b""))  # noqa: S314 - our own

    assert "A call of 1.0 s" in words(picture)


def test_a_call_of_an_hour_has_an_axis_that_can_be_read() -> None:
    lines = [line | {"t_ms": line["t_ms"] * 170} for line in call_events()]
    (call,) = calls_of(lines)
    call.summary = {}

    seconds = [text for text in words(drawn(call)) if re.fullmatch(r"\d+ s", text)]

    assert 5 < len(seconds) < 25
