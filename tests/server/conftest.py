"""The running server that most tests of this room call."""

from collections.abc import AsyncIterator

import pytest
from phone_line import Line, open_line


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with open_line() as opened:
        yield opened
