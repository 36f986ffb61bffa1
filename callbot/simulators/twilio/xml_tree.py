"""A strict XML reader for small documents: no document type, no entities of its own, no namespaces."""

from dataclasses import dataclass, field
from xml.parsers import expat

MAX_DEPTH = 20  # TwiML nests three deep


class XmlError(ValueError):
    """The document is not well-formed XML, or uses what TwiML never does."""


@dataclass(slots=True)
class Element:
    """One element: its name, attributes, and what is inside it, text and elements in their order."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    content: list["str | Element"] = field(default_factory=list)

    @property
    def children(self) -> list["Element"]:
        """The elements directly inside."""
        return [part for part in self.content if isinstance(part, Element)]

    @property
    def text(self) -> str:
        """The text directly inside, trimmed."""
        return "".join(part for part in self.content if isinstance(part, str)).strip()

    @property
    def all_text(self) -> str:
        """The text inside, that of elements included, with single spaces."""
        parts = (part if isinstance(part, str) else part.all_text for part in self.content)
        return " ".join(" ".join(parts).split())


def read_xml(document: str) -> Element:
    """Parse `document` and return its root. Raises XmlError."""
    top = Element("")
    path = [top]

    def opened(name: str, attributes: dict[str, str]) -> None:
        if len(path) > MAX_DEPTH:
            raise XmlError(f"more than {MAX_DEPTH} elements inside each other")
        element = Element(name, attributes)
        path[-1].content.append(element)
        path.append(element)

    def closed(name: str) -> None:
        path.pop()
        del name

    def texts(text: str) -> None:
        path[-1].content.append(text)

    def doctype(*_: object) -> None:
        raise XmlError("a document type is not allowed in TwiML")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = texts
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document.encode(), True)
    except expat.ExpatError as error:
        raise XmlError(str(error)) from error
    return top.children[0]
