"""Upgrade requests: which service is asked for, and with which key or token."""

import re
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

_GEMINI = re.compile(
    r"/ws/google\.ai\.generativelanguage\.(?P<version>v[0-9a-z]+)"
    r"\.GenerativeService\.BidiGenerateContent(?:Constrained)?/?$"
)
_VERTEX = re.compile(r"/ws/google\.cloud\.aiplatform\.(?P<version>v[0-9a-z]+)\.LlmBidiService/BidiGenerateContent/?$")


def read_path(target: str) -> tuple[str, str] | None:
    """Return (mode, version) for a request target, None for a path the service does not have.

    Any prefix and doubled slashes are accepted. `/` alone is what the SDK asks for in Vertex mode without a
    project; it names no version.
    """
    path = urlsplit(re.sub(r"^/{2,}", "/", target)).path
    if match := _GEMINI.search(path):
        return "gemini", match["version"]
    if match := _VERTEX.search(path):
        return "vertex", match["version"]
    return ("vertex", "") if path in {"", "/"} else None


def read_credential(request: Request) -> str | None:
    """Return the key or token: `Authorization: Bearer|Token`, `x-goog-api-key`, `?key=` or `?access_token=`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in {"bearer", "token"} and token.strip():
        return token.strip()
    if key := request.headers.get("x-goog-api-key"):
        return key
    query = parse_qs(urlsplit(request.path).query)
    for name in ("key", "access_token"):
        if query.get(name):
            return query[name][0]
    return None
