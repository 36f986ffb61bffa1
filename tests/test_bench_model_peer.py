"""The bench's model: a session whose connection breaks is a result and says nothing, a fault of its own is still seen."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from bench.model_peer import ModelCall, ModelPeer


@contextlib.asynccontextmanager
async def session(folder: Path) -> AsyncIterator[tuple[ClientConnection, ModelCall]]:
    """A client of a model that talks; both ends."""
    model, ready = ModelPeer(talk=True), asyncio.Event()
    model.write_ca(str(folder / "ca.pem"))
    serving = asyncio.create_task(model.run(ready))
    await ready.wait()
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    async with asyncio.timeout(20):
        async with connect(f"wss://127.0.0.1:{model.port}", ssl=context, compression=None) as client:
            await client.send('{"setup":{}}')
            await client.recv()
            yield client, model.calls[0]
            while not model.calls[0].ended_s:  # noqa: ASYNC110 - the bench reads the time, nobody waits for it
                await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_connection_that_breaks_leaves_no_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with session(tmp_path) as (client, call):
        await client.recv()
        client.transport.abort()
    assert call.sent_s
    assert failures(caplog) == []


async def test_an_orderly_close_leaves_none_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with session(tmp_path) as (client, _):
        await client.close()
    assert failures(caplog) == []


async def test_a_fault_of_its_own_is_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with session(tmp_path) as (client, _):
        await client.send("no JSON")
    assert failures(caplog) == ["connection handler failed"]


async def test_it_is_silent_in_a_pause_and_goes_on_after_it(tmp_path: Path) -> None:
    async with session(tmp_path) as (client, call):
        await client.recv()
        call.talking.clear()
        await asyncio.sleep(0.1)  # the chunk that was under way is out
        said = len(call.sent_s)
        await asyncio.sleep(0.2)
        assert len(call.sent_s) == said
        call.talking.set()
        for _ in range(said):  # all that it had said, less the first, and one more
            await client.recv()
        assert len(call.sent_s) > said
        await client.close()
