"""The stand-in's certificate authority and server certificate, made new for each run and never trusted elsewhere."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A CA of its own, a server certificate for the loopback names, and contexts for both ends."""

    server_context: ssl.SSLContext
    impostor_context: ssl.SSLContext  # certificate of another CA: clients of this one refuse it
    ca_pem: bytes

    def write_ca(self, path: Path, also: Path | None = None) -> None:
        """Write the CA to `path` as PEM, after the contents of the bundle `also` if given.

        `SSL_CERT_FILE` replaces the public CAs for everything in the process that reads it, so a client that also
        calls public services wants a copy of its bundle with this CA added.
        """
        bundle = also.read_bytes().rstrip(b"\n") + b"\n" if also else b""
        path.write_bytes(bundle + self.ca_pem)

    def client_context(self) -> ssl.SSLContext:
        """Return a client context that trusts this CA only."""
        return ssl.create_default_context(cadata=self.ca_pem.decode())


def make_identity(host: str) -> TlsIdentity:
    """Make a CA and a server certificate valid for 127.0.0.1, localhost and `host`."""
    names = sorted({"127.0.0.1", "localhost", host} - {"0.0.0.0", "::"})
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(server)
    impostor = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert(*names).configure_cert(impostor)
    return TlsIdentity(server, impostor, authority.cert_pem.bytes())
