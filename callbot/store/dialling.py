"""How Redis is dialled: its addresses are raced, and a resolver that never answers holds nothing up.

redis-py connects to one address after the other, and the loop's own resolver has threads that the process's end waits for.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType
from redis.asyncio.connection import Connection, SSLConnection

# RFC 8305 section 5: how long one address is tried alone before the next one is tried beside it.
ATTEMPT_DELAY_S: Final = 0.25

_Lookups = dict[tuple[str, int], asyncio.Future[list[AddrInfoType]]]
_lookups: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lookups] = WeakKeyDictionary()


async def race(host: str, port: int) -> socket.socket:
    """A socket connected to the first of `host`'s addresses that answers, families in turn (RFC 8305). Raises OSError."""
    loop = asyncio.get_running_loop()
    addresses = _as_number(host, port) or await _resolve(loop, host, port)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY_S, loop=loop)


def _as_number(host: str, port: int) -> list[AddrInfoType]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return []
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[AddrInfoType]:
    """Look `host` up in a thread that dies with the process. Who asks meanwhile waits for it, so one thread at most hangs."""
    lookups = _lookups.setdefault(loop, {})
    running = lookups.get((host, port))
    if running is None:
        running = lookups[host, port] = loop.create_future()
        running.add_done_callback(lambda done: (lookups.pop((host, port), None), done.exception()))  # or it warns of it
        threading.Thread(target=_look_up, args=(loop, running, host, port), daemon=True, name="redis-address").start()
    return await asyncio.shield(running)


def _look_up(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[AddrInfoType]], host: str, port: int) -> None:
    found: list[AddrInfoType] | OSError
    try:
        found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than a name may have
        found = error if isinstance(error, OSError) else OSError("no host name")

    def tell() -> None:
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(tell)


class _Raced:
    """What both kinds of connection have in common: the socket comes connected."""

    host: str
    port: int
    socket_connect_timeout: float | None
    _dialled: socket.socket

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            self._dialled = await race(self.host, self.port)
        try:
            await super()._connect()  # type: ignore[misc]  # redis-py's, which asks for the arguments below
        except BaseException:  # a time-out too; the loop closes the socket only once it has a transport
            self._dialled.close()
            raise

    def _connection_arguments(self) -> Mapping[str, Any]:
        told = dict(super()._connection_arguments())  # type: ignore[misc]
        host = told.pop("host")
        del told["port"]
        return told | {"sock": self._dialled} | ({"server_hostname": host} if told.get("ssl") else {})


class RacedConnection(_Raced, Connection):
    """A connection to the first of a host's addresses that answers."""


class RacedTLSConnection(_Raced, SSLConnection):
    """The same with TLS; the certificate is the host name's."""


def raced(kind: type[Any]) -> type[Any]:
    """The raced kind of a redis-py connection class; a Unix socket has no addresses."""
    return {Connection: RacedConnection, SSLConnection: RacedTLSConnection}.get(kind, kind)
