"""The stand-in's certificate authority and server certificate, made new in each process and never trusted elsewhere."""

import ssl
from dataclasses import dataclass
from functools import lru_cache
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


@lru_cache(maxsize=8)
def _certificates(names: tuple[str, ...]) -> tuple[bytes, trustme.LeafCert, trustme.LeafCert]:
    # Kept for the life of the process: a test suite starts hundreds of stand-ins, and keys are what takes time.
    authority = trustme.CA()
    return authority.cert_pem.bytes(), authority.issue_cert(*names), trustme.CA().issue_cert(*names)


def make_identity(host: str) -> TlsIdentity:
    """Return a CA and a server certificate valid for 127.0.0.1, localhost and `host`."""
    names = tuple(sorted({"127.0.0.1", "localhost", host} - {"0.0.0.0", "::"}))
    ca_pem, certificate, impostor = _certificates(names)
    return TlsIdentity(_server_context(certificate), _server_context(impostor), ca_pem)


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    # Not create_default_context: that reads all public CAs, and this server asks nobody for a certificate.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
