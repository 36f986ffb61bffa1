"""The bench's picture: CPU and delay against the number of calls, callbot beside the bare bridge. An SVG, no script."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

_WIDTH, _HEIGHT = 920, 360
_PANEL_W, _PANEL_H, _TOP, _LEFT, _GAP = 240, 220, 70, 60, 60
_COLOURS = {"callbot": "#1f77b4", "bare": "#8c8c8c"}
_PANELS = (
    ("CPU per call, % of a core", "cpu_percent"),
    ("caller to model, p99 ms", "up_p99_ms"),
    ("model to caller, p99 ms", "down_p99_ms"),
)


def draw(path: Path, report: dict[str, Any]) -> None:
    """Write the picture of one report."""
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")
    ET.SubElement(svg, "rect", width=str(_WIDTH), height=str(_HEIGHT), fill="#ffffff")
    _text(svg, 20, 30, "callbot beside the bare bridge", size=18, weight="600")
    machine = report["machine"]
    _text(svg, 20, 50, f"{machine['cpu']}, server on one core; {report['when'][:10]}", size=11, fill="#666666")
    for place, (title, key) in enumerate(_PANELS):
        _panel(svg, _LEFT + place * (_PANEL_W + _GAP), title, key, report["sizes"])
    for place, (system, colour) in enumerate(_COLOURS.items()):
        ET.SubElement(svg, "circle", cx=str(700 + place * 110), cy="26", r="5", fill=colour)
        _text(svg, 710 + place * 110, 30, system if system == "callbot" else "bare bridge", size=12)
    ET.ElementTree(svg).write(path, encoding="utf-8", xml_declaration=True)


def _panel(svg: ET.Element, left: int, title: str, key: str, sizes: dict[str, Any]) -> None:
    calls = [int(size) for size in sizes]
    top_value = max(max(size[system][key] for system in _COLOURS) for size in sizes.values()) * 1.15 or 1.0
    top_calls = max(calls)
    _text(svg, left, _TOP + 10, title, size=13, weight="600")
    base = _TOP + 30 + _PANEL_H

    def at(count: int, value: float) -> tuple[float, float]:
        return left + count / top_calls * _PANEL_W, base - value / top_value * _PANEL_H

    for step in range(5):
        value = top_value * step / 4
        y = at(0, value)[1]
        ET.SubElement(svg, "line", x1=str(left), x2=str(left + _PANEL_W), y1=f"{y:.1f}", y2=f"{y:.1f}", stroke="#e4e4e4")
        _text(svg, left - 8, y + 4, f"{value:.1f}" if top_value < 10 else f"{value:.0f}", size=10, anchor="end", fill="#666666")
    for count in calls:
        _text(svg, at(count, 0)[0], base + 16, str(count), size=10, anchor="middle", fill="#666666")
    _text(svg, left + _PANEL_W / 2, base + 32, "calls at once", size=11, anchor="middle", fill="#666666")
    for system, colour in _COLOURS.items():
        points = [at(int(count), size[system][key]) for count, size in sizes.items()]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        ET.SubElement(svg, "polyline", points=line, fill="none", stroke=colour, **{"stroke-width": "2.5"})
        for x, y in points:
            ET.SubElement(svg, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3.5", fill=colour)


def _text(
    svg: ET.Element,
    x: float,
    y: float,
    text: str,
    *,
    size: int,
    anchor: str = "start",
    weight: str = "400",
    fill: str = "#222222",
) -> None:
    element = ET.SubElement(
        svg,
        "text",
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        fill=fill,
        **{"font-size": str(size), "text-anchor": anchor, "font-weight": weight, "font-family": "system-ui, sans-serif"},
    )
    element.text = text
