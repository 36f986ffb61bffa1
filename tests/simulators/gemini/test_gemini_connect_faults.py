"""Faults before the upgrade and around setup, as the real client meets them."""

import asyncio
import ssl

import pytest
from google.genai import errors
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callbot.simulators.gemini import Fault
from callbot.simulators.gemini import faults as do
from callbot.simulators.gemini import triggers as at
from callbot.simulators.gemini.malformed import MALFORMED

# ---- before the upgrade -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 503])
async def test_the_upgrade_can_be_refused_with_a_status(open_line, status):
    async with open_line() as line:
        line.standin.refuse(status, for_connections=1, retry_after="7")
        with pytest.raises(InvalidStatus) as caught:
            async with line.connect():
                pass
        assert caught.value.response.status_code == status
        assert caught.value.response.headers["Retry-After"] == "7"
        async with line.connect():
            assert line.standin.connections_open == 1
        assert [upgrade.status for upgrade in line.standin.upgrades] == [status, 101]


async def test_the_upgrade_can_hang(open_line):
    async with open_line(faults=(Fault(at.OnConnect(), do.HangUpgrade()),), socket={"open_timeout": 0.5}) as line:
        with pytest.raises(TimeoutError):
            async with line.connect():
                pass
        assert line.standin.upgrades[0].status is None


async def test_the_upgrade_can_be_slow(open_line):
    async with open_line(faults=(Fault(at.OnConnect(), do.SlowUpgrade(5)),)) as line, line.connect():
        assert line.last.ready


@pytest.mark.parametrize("reset", [False, True])
async def test_the_upgrade_can_be_cut_off(open_line, reset):
    async with open_line(faults=(Fault(at.OnConnect(), do.Abort(reset)),)) as line:
        with pytest.raises((OSError, EOFError, Exception)) as caught:
            async with line.connect():
                pass
        assert not isinstance(caught.value, errors.APIError)
        async with line.connect():
            assert line.last.ready


async def test_connections_can_be_refused_altogether(open_line):
    async with open_line() as line:
        line.standin.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            async with line.connect():
                pass
        await line.standin.listen()
        async with line.connect():
            assert line.last.ready


async def test_tls_can_fail(open_line):
    async with open_line() as line:
        line.standin.fail_tls()
        with pytest.raises(ssl.SSLCertVerificationError):
            async with line.connect():
                pass
        async with line.connect():
            assert line.last.ready


async def test_every_second_connection_can_be_refused(open_line):
    async with open_line(faults=(Fault(at.OnConnect(), do.Refuse(429), every=2, times=None),)) as line:
        for number in range(1, 5):
            if number % 2:
                async with line.connect():
                    pass
            else:
                with pytest.raises(InvalidStatus):
                    async with line.connect():
                        pass
        assert [upgrade.status for upgrade in line.standin.upgrades] == [101, 429, 101, 429]


@pytest.mark.parametrize("over_cap", ["429", "close"])
async def test_the_number_of_sessions_can_be_capped(open_line, over_cap):
    async with open_line(max_sessions=1, over_cap=over_cap) as line:
        async with line.connect():
            with pytest.raises((InvalidStatus, errors.APIError)) as caught:
                async with line.connect():
                    pass
        if isinstance(caught.value, InvalidStatus):
            assert caught.value.response.status_code == 429
        else:
            assert caught.value.code == 1011
            assert caught.value.details.startswith("You exceeded your current quota")
        await line.standin.wait_for(lambda: line.standin.connections_open == 0)
        async with line.connect():
            assert line.last.ready


async def test_connecting_can_take_a_random_time(open_line):
    async with open_line(connect_latency_s=(1.0, 20.0)) as line, line.connect():
        assert line.last.ready


# ---- around setup -------------------------------------------------------------------------------------------


async def test_setup_can_go_unanswered(open_line):
    async with open_line(faults=(Fault(at.OnSetup(), do.NoSetupReply()),)) as line:

        async def attempt():
            async with line.connect():
                pass

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(attempt())
            await line.standin.wait_for(lambda: line.standin.sessions and line.last.fired)
            await asyncio.sleep(0.05)  # there is nothing to wait for: the point is that nothing comes
            assert not waiting.done()
            waiting.cancel()
        assert line.last.raw_setup is not None
        assert not line.last.ready


async def test_setup_can_be_answered_late(open_line):
    async with open_line(faults=(Fault(at.OnSetup(), do.SlowSetup(12)),)) as line, line.connect() as session:
        assert session.setup_complete is not None


@pytest.mark.parametrize("name", ["empty_object", "setup_error", "unknown_field"])
async def test_another_reply_to_setup_connects_without_setup_complete(open_line, name):
    async with open_line(faults=(Fault(at.OnSetup(), do.ReplyToSetup(MALFORMED[name])),)) as line:
        connection = line.connect()
        async with connection as session:
            assert session.setup_complete is None


@pytest.mark.parametrize(("name", "error"), [("null", AttributeError), ("not_json", ValueError)])
async def test_nonsense_instead_of_setup_complete_fails_the_connect(open_line, name, error):
    async with open_line(faults=(Fault(at.OnSetup(), do.ReplyToSetup(MALFORMED[name])),)) as line:
        with pytest.raises(error):
            async with line.connect():
                pass


@pytest.mark.parametrize("code", [1007, 1008, 1011])
async def test_setup_can_end_in_a_close_with_a_cut_reason(open_line, code):
    async with open_line(faults=(Fault(at.OnSetup(), do.Close(code, "x" * 200)),)) as line:
        with pytest.raises(errors.APIError) as caught:
            async with line.connect():
                pass
        assert caught.value.code == code
        assert caught.value.details == "x" * 123


async def test_the_connection_can_be_closed_before_setup_was_sent(open_line):
    async with open_line(faults=(Fault(at.OnConnect(), do.Close(1011, "too early")),)) as line:
        # Which of the two depends on whether the SDK has sent setup when the close arrives.
        with pytest.raises((errors.APIError, ConnectionClosed)) as caught:
            async with line.connect():
                pass
        assert "1011" in str(caught.value)
        assert line.last.raw_setup is None


async def test_setup_can_end_in_a_reset(open_line):
    async with open_line(faults=(Fault(at.OnSetup(), do.Abort(reset=True)),)) as line:
        with pytest.raises(errors.APIError) as caught:
            async with line.connect():
                pass
        assert caught.value.code == 1006
