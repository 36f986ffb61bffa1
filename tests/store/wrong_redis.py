"""A Redis that answers every question of a chosen kind in a chosen wrong way, and all others as the protocol wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# What could come back instead of an answer, by name; None closes the connection, "" never answers.
WRONG: dict[str, bytes | None] = {
    "a number that is none": b":abc\r\n",
    "a number": b":7\r\n",
    "a status": b"+OK?\r\n",
    "nothing": b"$-1\r\n",
    "no array": b"*-1\r\n",
    "an empty array": b"*0\r\n",
    "an array of other things": b"*3\r\n:1\r\n$-1\r\n*0\r\n",
    "too long an array": b"*5\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n",
    "a text that is none": b"$4\r\n\xff\xfe\x00\x80\r\n",
    "a length that is none": b"$x\r\n",
    "a length without an end": b"$99999999999\r\nab",
    "a kind that is none": b"?what\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nested without an end": b"*1\r\n" * 5_000,
    "an error": b"-ERR nothing doing\r\n",
    "a replica": b"-READONLY You can't write against a read only replica.\r\n",
    "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "still loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:1\r\n",
    "password wanted": b"-NOAUTH Authentication required.\r\n",
    "two answers": b"+OK\r\n+OK\r\n",
    "an answer and more": b":7\r\n" * 3,
    "a closed connection": None,
    "silence": b"",
}


@asynccontextmanager
async def wrong_redis(answer: bytes | None, to: frozenset[bytes]) -> AsyncIterator[str]:
    """The address of a server that answers the commands `to` with `answer`."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                name = words[0].upper()
                if name not in to:
                    writer.write(RIGHT.get(name, b"+OK\r\n"))
                elif answer is None:
                    break
                else:
                    writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0?protocol=2"


RIGHT = {b"INFO": b"$19\r\ncluster_enabled:0\r\n\r\n", b"PING": b"+PONG\r\n"}
