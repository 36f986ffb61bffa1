"""Vertex's access token: one for the whole process, fetched in one thread of its own, renewed before it is needed.

Left to itself the SDK fetches a token when a call needs one, in a thread of the loop's default executor, which a wait that is
cancelled does not free for up to two minutes. Here all calls share one refresh, its time is short, and a token is renewed in
the background while the old one is still good, so that only the first call may have to wait for one.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import google.auth
import structlog
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import Request

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
REQUEST_LIMIT_S: Final = 4.0
"""For one answer of the token endpoint: a third of what a caller without a model waits for (CALLBOT_UNREACHABLE_S)."""
RENEW_SHARE: Final = 0.75
"""Of a token's life, after which it is renewed: Google's live an hour, so a quarter of one is left for trouble."""
_RETRY_S: Final = (2.0, 5.0, 15.0, 60.0)
_SHORTEST_RENEWAL_S: Final = 1.0
# A handshake with the token takes this long at the most.
_LAST_USE: Final = timedelta(seconds=10)

type LoadCredentials = Callable[[Request], Credentials]


def application_default(request: Request) -> Credentials:
    """The environment's own credentials. Blocks; raises DefaultCredentialsError when there are none."""
    credentials, _ = google.auth.default(scopes=[_SCOPE], request=request)
    assert isinstance(credentials, Credentials)  # noqa: S101 - untyped there
    return credentials


class SharedCredentials(Credentials):
    """What the SDK is given: the token as it is now. It never asks for a refresh: `ready` has seen to that.

    Belongs to one event loop. `limit_s` bounds each wait for the token endpoint.
    """

    def __init__(
        self, load: LoadCredentials = application_default, *, limit_s: float = REQUEST_LIMIT_S, renew_share: float = RENEW_SHARE
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._load = load
        self._limit_s = limit_s
        self._renew_share = renew_share
        self._source: Credentials | None = None
        self._refreshing: asyncio.Future[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._failures = 0

    @property
    def expired(self) -> bool:
        """Whether the token's time is over; google-auth's own leaves the last minutes of a token unused."""
        return self.expiry is not None and self.expiry.replace(tzinfo=UTC) <= datetime.now(UTC) + _LAST_USE

    def begin(self) -> None:
        """Fetch the first token in the background, before a call needs it."""
        self._refresh_once()

    async def ready(self) -> None:
        """Return at once while there is a good token, else with the running refresh, or a new one.

        Raises GoogleAuthError; of these, those that `failures.classify` takes for retryable may pass.
        """
        if self.token and not self.expired:
            return
        await asyncio.shield(self._refresh_once())

    def refresh(self, request: Any) -> None:  # noqa: ARG002 - google-auth's signature
        """Asked for by the SDK only if its token ran out between `ready` and the handshake."""
        raise RefreshError("the access token has run out", retryable=True)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Renew no more."""
        if self._renewal is not None:
            self._renewal.cancel()

    def _refresh_once(self) -> asyncio.Future[None]:
        if self._refreshing is None:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            self._refreshing = done
            # Not an executor's: those are waited for at the process's end, and are few.
            threading.Thread(target=self._refresh, args=(loop, done), name="access-token", daemon=True).start()
            loop.call_later(2 * self._limit_s, self._give_up, done)
        return self._refreshing

    def _refresh(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        """In the thread."""
        request = _LimitedRequest(self._limit_s)
        result: Credentials | Exception
        try:
            source = self._source or self._load(request)
            source.refresh(request)  # type: ignore[no-untyped-call]
            result = source
        except Exception as error:  # noqa: BLE001 - raised in those who wait
            result = error
        try:
            loop.call_soon_threadsafe(self._refreshed, done, result)
        except RuntimeError:  # the loop has ended meanwhile
            return

    def _give_up(self, done: asyncio.Future[None]) -> None:
        """An endpoint that sends a byte now and then keeps within each limit but for ever."""
        if not done.done():
            error = TransportError("the token endpoint does not finish its answer")  # type: ignore[no-untyped-call]
            self._refreshed(done, error)

    def _refreshed(self, done: asyncio.Future[None], result: Credentials | Exception) -> None:
        if done.done():
            return
        self._refreshing = None
        if isinstance(result, Exception):
            self._failures += 1
            error = result if isinstance(result, GoogleAuthError) else RefreshError(f"{type(result).__name__}: {result}")  # type: ignore[no-untyped-call]
            done.set_exception(error)
            done.exception()  # a renewal has nobody who waits for it
            structlog.get_logger().warning(
                "model.token_not_renewed", error=type(result).__name__, still_good=self._still_good()
            )
            if self.token:  # else the next call asks, and hears why not
                self._renew_in(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1])
            return
        self._failures = 0
        self._source, self.token, self.expiry = result, result.token, result.expiry
        self._quota_project_id = result.quota_project_id
        done.set_result(None)
        if self.expiry is not None:
            left_s = (self.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
            self._renew_in(max(_SHORTEST_RENEWAL_S, left_s * self._renew_share))

    def _still_good(self) -> bool:
        return bool(self.token) and not self.expired

    def _renew_in(self, delay_s: float) -> None:
        self.stop()
        self._renewal = asyncio.get_running_loop().call_later(delay_s, self._refresh_once)


class _LimitedRequest(Request):
    """google-auth's HTTP, with a limit of ours on each answer instead of two minutes."""

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._limit_s = limit_s

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        options["timeout"] = min(options.get("timeout") or self._limit_s, self._limit_s)
        return super().__call__(*arguments, **options)  # type: ignore[no-untyped-call]
