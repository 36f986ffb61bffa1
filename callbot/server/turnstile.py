"""Who is new waits his turn: between two steps of newcomers, those who are talking have theirs.

A handshake, a webhook, a call's set-up are steps of half a millisecond and more. The loop runs everything that is ready
before it looks at its sockets again, so ten newcomers at once would hold up every caller's frame by the sum of their steps.
"""

import asyncio


class Turnstile:
    """One for a process: lets one through at a time, each in a turn of the loop of its own."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def next_turn(self) -> None:
        """Wait until the loop has looked at its sockets and nobody else who is new goes on in this turn."""
        async with self._lock:
            await asyncio.sleep(0)
