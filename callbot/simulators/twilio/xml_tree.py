"""A strict XML reader for small documents: no document type, no entities of its own, no namespaces."""

from dataclasses import dataclass, field
from xml.parsers import expat

MAX_DEPTH = 20  # TwiML nests three deep


class XmlError(ValueError):
    """The document is not well-formed XML, or uses what TwiML never does."""


@dataclass(slots=True)
class Element:
    """One element: its name, attributes, children and the text directly inside it."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element"] = field(default_factory=list)
    text: str = ""


def read_xml(document: str) -> Element:
    """Parse `document` and return its root. Raises XmlError."""
    top = Element("")
    path = [top]

    def opened(name: str, attributes: dict[str, str]) -> None:
        if len(path) > MAX_DEPTH:
            raise XmlError(f"more than {MAX_DEPTH} elements inside each other")
        if path[-1] is not top and path[-1].text.strip():
            raise XmlError(f"<{path[-1].name}> mixes text and elements")
        element = Element(name, attributes)
        path[-1].children.append(element)
        path.append(element)

    def closed(name: str) -> None:
        path.pop()
        del name

    def texts(text: str) -> None:
        path[-1].text += text
        if path[-1].children and path[-1].text.strip():
            raise XmlError(f"<{path[-1].name}> mixes text and elements")

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
