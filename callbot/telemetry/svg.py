"""The few shapes that a picture needs, as SVG 1.1 elements; ElementTree escapes every text.

Sizes are px of the drawing. Colours are classes, defined in one style sheet, so that a dark page can have its own.
"""

from typing import Final
from xml.etree import ElementTree as ET

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_NARROW, _WIDE = frozenset("fijlrt.,:;|()[]' "), frozenset("mwMW@%")
_NARROW_EM, _WIDE_EM, _CAPITAL_EM, _OTHER_EM = 0.37, 0.97, 0.69, 0.6
"""Widths in DejaVu Sans, the widest of the fonts in question: a label is rather dropped than overlapped."""


class Drawing:
    """An SVG of `width` by `height` px."""

    def __init__(self, width: float, height: float, *, title: str, style: str) -> None:
        self._root = ET.Element(
            "svg",
            {"xmlns": _NAMESPACE, "viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"},
        )
        self._root.set("role", "img")
        ET.SubElement(self._root, "title").text = printable(title)
        ET.SubElement(self._root, "style").text = style

    def rect(self, kind: str, x: float, y: float, width: float, height: float, *, radius: float = 0, tip: str = "") -> None:
        """A filled rectangle; `tip` is shown by browsers when it is pointed at."""
        attributes = {"class": kind, "x": _px(x), "y": _px(y), "width": _px(width), "height": _px(height)}
        if radius:
            attributes["rx"] = _px(radius)
        self._tip(ET.SubElement(self._root, "rect", attributes), tip)

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight stroke."""
        points = {"x1": _px(x1), "y1": _px(y1), "x2": _px(x2), "y2": _px(y2)}
        ET.SubElement(self._root, "line", {"class": kind, **points})

    def path(self, kind: str, commands: str, *, tip: str = "") -> None:
        """Any outline, in SVG's path commands."""
        self._tip(ET.SubElement(self._root, "path", {"class": kind, "d": commands}), tip)

    def text(self, kind: str, x: float, y: float, words: str, *, size: float = 12, anchor: str = "start") -> None:
        """One line of text on the baseline `y`; `anchor` is start, middle or end."""
        attributes = {"class": kind, "x": _px(x), "y": _px(y), "font-size": _px(size), "text-anchor": anchor}
        ET.SubElement(self._root, "text", attributes).text = printable(words)

    def to_text(self) -> str:
        """The document."""
        return ET.tostring(self._root, encoding="unicode", xml_declaration=False) + "\n"

    @staticmethod
    def _tip(element: ET.Element, tip: str) -> None:
        if tip:
            ET.SubElement(element, "title").text = printable(tip)


class LabelRows:
    """Places labels side by side, in the first row that has room; what fits nowhere is dropped.

    The rows count from the picture outwards: a label in an outer row has its leader through the inner ones.
    """

    def __init__(self, rows: int, *, left: float, right: float, gap: float = 8) -> None:
        self._taken: list[list[tuple[float, float]]] = [[] for _ in range(rows)]
        self._left, self._right, self._gap = left, right, gap

    def place(self, middle: float, width: float) -> tuple[int, float] | None:
        """The row and the middle of a label `width` px wide near `middle`, moved in from the edges; None without room."""
        if width > self._right - self._left:
            return None
        start = min(max(middle - width / 2, self._left), self._right - width)
        for row in range(len(self._taken)):
            if self._is_free(row, start, start + width):
                self._taken[row].append((start, start + width))
                for inner in range(row):
                    self.reserve(middle, row=inner)
                return row, start + width / 2
            if not self._is_free(row, middle, middle):
                return None  # the leader of a label further out would cross a label here
        return None

    def reserve(self, at: float, *, row: int = 0) -> None:
        """Keep the labels of `row` off a line that crosses it."""
        self._taken[row].append((at, at))

    def _is_free(self, row: int, start: float, end: float) -> bool:
        return all(end + self._gap <= low or start >= high + self._gap for low, high in self._taken[row])


def text_width(words: str, size: float) -> float:
    """About how wide a line of text is, in px."""
    return size * sum(map(_character_em, words))


def _character_em(char: str) -> float:
    if char in _NARROW:
        return _NARROW_EM
    if char in _WIDE:
        return _WIDE_EM
    return _CAPITAL_EM if char.isupper() or char.isdigit() else _OTHER_EM  # digits have 0.64, in bold 0.7


def printable(words: str) -> str:
    """`words` without control characters, which XML forbids (XML 1.0, 2.2)."""
    return "".join(char for char in words if char.isprintable())


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
