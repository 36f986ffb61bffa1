"""How Twilio signs what it sends: HMAC-SHA1 over the public URL and the form fields.

Source: Twilio's page "Webhooks security". The string to sign is the URL from scheme to the end of the query,
then every POST field sorted by name, name and value joined without separators. The fragment and
`user:password@` are never part of it, nor is the port of an https or wss address.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

_PORT_DROPPED = frozenset({"https", "wss"})  # over plain http Twilio keeps the port


def signed_url(url: str) -> str:
    """Return the form of `url` that goes into the signature."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme in _PORT_DROPPED and parts.port is not None:
        host = host.rpartition(":")[0]
    return urlunsplit((parts.scheme, host, parts.path, parts.query, ""))


def signature(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """Return the value of `X-Twilio-Signature`: 28 base64 characters.

    `fields` are the POST fields in any order, empty values included. Leave them out for a GET and for the
    WebSocket handshake, whose URL starts with `wss://`.
    """
    text = signed_url(url) + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")
