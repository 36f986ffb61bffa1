"""How the model's socket is dialled: its addresses are raced, and no redirect is followed.

The SDK makes its connection with a class of the websockets library that takes neither as an option; its name in the SDK's
module is replaced by the one here, once a process (`install`).
"""

import asyncio
import ipaddress
import socket
from typing import Final

import aiohappyeyeballs
from google.genai import live
from websockets.asyncio.client import ClientConnection, connect
from websockets.proxy import get_proxy

# RFC 8305 section 5: how long one address is tried alone before the next one is tried beside it.
ATTEMPT_DELAY_S: Final = 0.25


async def race(host: str, port: int) -> socket.socket:
    """A socket connected to the first of `host`'s addresses that answers, families in turn (RFC 8305). Raises OSError."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY_S, loop=loop)


class ModelConnect(connect):
    """`websockets.connect` for the model. A redirect is raised as the `InvalidStatus` that it is."""

    async def open_tcp_connection(self) -> ClientConnection:
        """Connect to the first address that answers. With a proxy, or an address that is a number, there is one."""
        options = self.create_connection_kwargs
        proxy = get_proxy(self.ws_uri) if self.proxy is True else self.proxy
        if proxy is not None or not options.keys().isdisjoint({"sock", "host", "unix"}) or _is_number(self.ws_uri.host):
            return await super().open_tcp_connection()
        connected = await race(self.ws_uri.host, self.ws_uri.port)
        self.create_connection_kwargs = options | {"sock": connected}
        try:
            return await super().open_tcp_connection()
        except BaseException:  # a time-out too; the loop closes the socket only once it has a transport
            connected.close()
            raise
        finally:
            self.create_connection_kwargs = options

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Never another address: the library would send `x-goog-api-key` there."""
        return exc


def install() -> None:
    """Let the SDK dial with `ModelConnect`."""
    live.ws_connect = ModelConnect  # type: ignore[attr-defined]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
