"""Vertex's access token against a token endpoint that resets, stalls and answers; google-auth is the real one."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials as ServiceAccount

from callbot.gemini.credentials import SharedCredentials
from callbot.gemini.failures import classify
from callbot.messages.terms import Decision
from tests.gemini.token_endpoint import TokenEndpoint, token_endpoint

pytestmark = pytest.mark.real_time
SHORT_S = 0.3


def loader(endpoint: TokenEndpoint, folder: Path) -> Callable[[Request], Credentials]:
    account = endpoint.write_account(folder)

    def load(_request: Request) -> Credentials:
        credentials = ServiceAccount.from_service_account_file(str(account), scopes=["all"])  # type: ignore[no-untyped-call]
        assert isinstance(credentials, Credentials)
        return credentials

    return load


def threads() -> int:
    return sum(thread.name == "access-token" for thread in threading.enumerate())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a thread announces nothing here
            await asyncio.sleep(0.01)


async def test_calls_that_need_a_token_at_once_share_one_request_and_later_ones_ask_nothing(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        shared = SharedCredentials(loader(endpoint, tmp_path))
        await asyncio.gather(*(shared.ready() for _ in range(50)))
        await shared.ready()
        assert (endpoint.asked, shared.token, shared.expired) == (1, "token-1", False)
        shared.stop()


async def test_a_reset_of_the_endpoint_is_waited_out_and_the_next_call_has_its_token(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        endpoint.script = ["reset"]
        shared = SharedCredentials(loader(endpoint, tmp_path))
        with pytest.raises(TransportError) as caught:
            await shared.ready()
        assert classify(caught.value, opened=False).decision is Decision.WAIT
        await shared.ready()
        assert shared.token == "token-1"
        shared.stop()


async def test_a_stalled_endpoint_costs_its_limit_one_thread_and_no_later_call(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        endpoint.script = ["stall"]
        shared = SharedCredentials(loader(endpoint, tmp_path), limit_s=SHORT_S)
        before = threads()
        waiting = [asyncio.ensure_future(shared.ready()) for _ in range(20)]
        await until(lambda: endpoint.asked == 1)
        assert threads() == before + 1
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, TransportError) for result in results)
        await until(lambda: threads() == before)
        await shared.ready()
        assert (endpoint.asked, shared.token) == (2, "token-1")
        shared.stop()


async def test_a_call_that_no_longer_waits_takes_the_token_from_no_other(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        shared = SharedCredentials(loader(endpoint, tmp_path))
        gone, stays = asyncio.ensure_future(shared.ready()), asyncio.ensure_future(shared.ready())
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert (endpoint.asked, shared.token) == (1, "token-1")
        shared.stop()


async def test_an_endpoint_that_never_finishes_its_answer_is_given_up(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        endpoint.script = ["drip"]
        shared = SharedCredentials(loader(endpoint, tmp_path), limit_s=SHORT_S)
        with pytest.raises(TransportError):
            await shared.ready()
        await shared.ready()
        assert shared.token == "token-1"
        shared.stop()


async def test_a_token_is_renewed_before_it_is_needed_and_a_failed_renewal_takes_nothing_away(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        shared = SharedCredentials(loader(endpoint, tmp_path), renew_share=0.0)  # as often as may be
        shared.begin()
        await until(lambda: shared.token == "token-1")
        endpoint.script = ["reset"]
        await until(lambda: endpoint.asked == 2)
        await shared.ready()
        assert shared.token == "token-1"
        await until(lambda: shared.token == "token-2")
        assert endpoint.asked >= 3
        shared.stop()


async def test_a_token_whose_time_is_over_is_not_used(tmp_path: Path) -> None:
    async with token_endpoint() as endpoint:
        endpoint.lifetime_s = 1
        shared = SharedCredentials(loader(endpoint, tmp_path))
        await shared.ready()
        assert shared.expired
        await shared.ready()
        assert endpoint.asked == 2
        shared.stop()


async def test_a_refused_account_is_final_and_says_what_to_do(tmp_path: Path) -> None:
    async with token_endpoint("invalid_grant") as endpoint:
        shared = SharedCredentials(loader(endpoint, tmp_path))
        with pytest.raises(RefreshError) as caught:
            await shared.ready()
        failure = classify(caught.value, opened=False)
        assert (failure.decision, failure.cause) == (Decision.GIVE_UP, "credentials")
        assert "gcloud auth" in failure.remedy
        shared.stop()
