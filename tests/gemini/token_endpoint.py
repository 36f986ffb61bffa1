"""A token endpoint on loopback that resets, stalls, refuses or answers, and a service account that is sent to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

type Behaviour = Literal["answer", "reset", "stall", "drip", "invalid_grant"]


@dataclass
class TokenEndpoint:
    """What a test sets and reads. `script` is used up first, then `usual`."""

    port: int = 0
    usual: Behaviour = "answer"
    script: list[Behaviour] = field(default_factory=list)
    lifetime_s: int = 3600
    asked: int = 0
    given: list[str] = field(default_factory=list)

    def write_account(self, folder: Path) -> Path:
        """A service account's key file, for GOOGLE_APPLICATION_CREDENTIALS."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        path = folder / "account.json"
        account = {
            "type": "service_account",
            "project_id": "a-project",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": "bot@a-project.iam.gserviceaccount.com",
            "token_uri": f"http://127.0.0.1:{self.port}/token",
        }
        path.write_text(json.dumps(account))
        return path

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        behaviour = self.script.pop(0) if self.script else self.usual
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(length)
            if behaviour == "stall":
                await asyncio.sleep(3600)
            if behaviour == "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            if behaviour == "reset":
                writer.transport.abort()
                return
            if behaviour == "answer":
                self.given.append(f"token-{len(self.given) + 1}")
                status, body = "200 OK", {"access_token": self.given[-1], "expires_in": self.lifetime_s, "token_type": "Bearer"}
            else:
                status, body = "400 Bad Request", {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            text = json.dumps(body).encode()
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + text)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def token_endpoint(usual: Behaviour = "answer") -> AsyncIterator[TokenEndpoint]:
    """A running endpoint."""
    endpoint = TokenEndpoint(usual=usual)
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(endpoint._serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        server.close()
