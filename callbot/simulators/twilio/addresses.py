"""Addresses as documents and settings give them: whether they can be dialled, and where they lead on this machine."""

from urllib.parse import urljoin, urlsplit

from callbot.simulators.twilio.options import CarrierOptions


def is_address(url: str) -> bool:
    """Whether this can be dialled at all: a host, a port that is one, nothing that no URL may hold (RFC 3986)."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
        host.encode("idna")
    except ValueError:  # of the port, the brackets or the host's labels
        return False
    return bool(host) and port != 0 and not any(letter.isspace() or letter in '<>"{}|\\^`' for letter in url)


def joined(base_url: str, url: str) -> str | None:
    """Return `url` as seen from `base_url`; None when that cannot be dialled."""
    try:
        address = urljoin(base_url, url)
    except ValueError:
        return None
    return address if is_address(address) else None


class Addresses:
    """Finds the local address for a public URL; several take turns."""

    def __init__(self, options: CarrierOptions) -> None:
        self._public = _origin(options.public_url)
        self._addresses = options.addresses
        self._hosts = {_origin(url): address for url, address in options.hosts.items()}
        self._turn = 0

    def find(self, url: str) -> str | None:
        """Return e.g. http://127.0.0.1:8080 for `url`, None when that host is not reachable from here."""
        try:
            origin = _origin(url)
        except ValueError:  # a port that is no number, brackets that do not close
            return None
        if origin == self._public:
            self._turn += 1
            return self._addresses[(self._turn - 1) % len(self._addresses)]
        return self._hosts.get(origin)


def _origin(url: str) -> tuple[bool, str, int]:
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    return secure, parts.hostname or "", parts.port or (443 if secure else 80)
