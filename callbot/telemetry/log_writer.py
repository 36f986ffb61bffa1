"""Writes log lines to a descriptor from a thread of its own: a reader that stops, or a full disk, never stops the loop.

Lines wait in a queue that is limited in bytes. What does not fit is dropped, counted, and said in a line of its own as soon
as there is room again.
"""

import atexit
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

QUEUE_BYTES: Final = 4 << 20  # some ten thousand lines; minutes of a busy process
FLUSH_S: Final = 0.5  # at the end of the process; Cloud Run's ten seconds are planned to the half
# One write to a pipe up to this size is never mixed with another process's (POSIX, PIPE_BUF on Linux): workers share stdout.
_BATCH_BYTES: Final = 4096
_RETRY_S: Final = 1.0  # a descriptor that has failed is not asked again for each line


class LogWriter:
    """A bounded queue and the thread that empties it into `fd`. Any thread may write; nothing here waits but `flush`.

    `tell_dropped` makes the line that says how many lines were dropped. The thread starts with the first line, so that a
    process may still fork before; it is a daemon, so that a reader that never reads again cannot keep the process alive.
    """

    def __init__(self, fd: int, tell_dropped: Callable[[int], bytes], *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._fd = fd
        self._tell_dropped = tell_dropped
        self._queue_bytes = queue_bytes
        self._changed = threading.Condition(threading.Lock())
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0  # in the queue and in the write that is under way
        self._untold = 0
        self._dropped = 0
        self._started = False

    @property
    def dropped(self) -> int:
        """How many lines were dropped so far."""
        return self._dropped

    def write(self, line: bytes) -> None:
        """Take one line, or drop it when too many wait."""
        with self._changed:
            if self._waiting_bytes + len(line) > self._queue_bytes:
                self._count_dropped(1)
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            if not self._started:
                self._start()
            self._changed.notify()

    def flush(self, limit_s: float = FLUSH_S) -> bool:
        """Wait until everything is written, for `limit_s` at the most; returns whether it is."""
        until_s = time.monotonic() + limit_s
        with self._changed:
            while self._waiting_bytes:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    return not self._waiting_bytes
        return True

    def _start(self) -> None:
        self._started = True
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had, or the interpreter is ending: tried again with the next line
            self._started = False
            return
        atexit.register(self.flush)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._lines or self._untold):  # lines may be dropped behind a batch that has left the queue
                    self._changed.wait()
                batch: list[bytes] = []
                size = 0
                while self._lines and (not batch or size + len(self._lines[0]) <= _BATCH_BYTES):
                    batch.append(self._lines.popleft())
                    size += len(batch[-1])
            written = self._write(b"".join(batch))
            if written:
                self._tell_of_dropped()
            with self._changed:
                self._waiting_bytes -= size
                if not written:
                    self._count_dropped(len(batch))
                self._changed.notify_all()
            if not written:
                time.sleep(_RETRY_S)

    def _tell_of_dropped(self) -> None:
        """Say how many lines were dropped, behind the last that found room: asked once those are written, however they came."""
        while True:
            with self._changed:
                untold = 0 if self._lines else self._untold
                self._untold -= untold
            if not untold:
                return
            if not self._write(self._tell_dropped(untold)):
                with self._changed:
                    self._untold += untold
                return

    def _write(self, data: bytes) -> bool:
        """Write it all, however long that takes; False when the descriptor refuses it (no reader, no room on the disk)."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody who has the same pipe or terminal made it non-blocking
                try:
                    select.select([], [self._fd], [])
                except (OSError, ValueError):
                    return False
            except OSError:
                return False
        return True

    def _count_dropped(self, lines: int) -> None:
        self._dropped += lines
        self._untold += lines
