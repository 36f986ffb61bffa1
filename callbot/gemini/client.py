"""The process's `genai.Client`s, and the options of their sockets.

One client a process and location: making one costs some 120 ms of CPU for TLS contexts, so the contexts are made here
once and given to it. The SDK passes `async_client_args` on to `websockets.asyncio.client.connect`.
"""

import ssl
from typing import Any, Final

import certifi
from google import genai
from google.auth.credentials import Credentials
from google.genai import types
from google.oauth2.credentials import Credentials as PlainToken

from callbot.gemini import dialling
from callbot.gemini.connection import LeanConnection
from callbot.gemini.credentials import SharedCredentials
from callbot.settings import Settings

# The versions that reports of working Live sessions name; the SDK's own default in Gemini mode is v1 since 3.0.0.
PINNED_VERSIONS: Final = {"gemini": "v1beta", "vertex": "v1beta1"}

_MAX_MESSAGE_BYTES: Final = 8 * 2**20  # a whole answer's audio may come in one message; the library's 1 MiB is 16 s of it
_MAX_QUEUED_FRAMES: Final = 256  # 16, the default, hides pongs behind unread audio
_WRITE_LIMIT_BYTES: Final = 2**15

dialling.install()


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Trusts SSL_CERT_FILE when it is set, as the SDK would, else the bundle that certifi ships."""
    return ssl.create_default_context(cafile=settings.ssl_cert_file or certifi.where())


def socket_options(settings: Settings, context: ssl.SSLContext) -> dict[str, Any]:
    """Options of the WebSocket to the model."""
    return {
        "create_connection": LeanConnection,
        "ssl": context,
        "open_timeout": settings.connect_timeout_s,
        # Google's pongs were seen 8 to 30 s late on healthy calls, and the library's own 20 s limit ends them:
        # Heartbeat sends the pings and judges their silence.
        "ping_interval": None,
        "close_timeout": 1,  # a stalled peer may not hold up a hang-up
        "max_size": _MAX_MESSAGE_BYTES,
        "max_queue": _MAX_QUEUED_FRAMES,
        "write_limit": _WRITE_LIMIT_BYTES,
        "compression": None,  # speech in base64 hardly shrinks; it costs twice the CPU on messages of 100 ms
    }


def make_credentials(settings: Settings) -> SharedCredentials | PlainToken | None:
    """Vertex's credentials, for all clients of the process; None for the Gemini API, which has a key."""
    if not settings.use_vertexai:
        return None
    token = settings.vertex_access_token
    if token is None:
        return SharedCredentials()
    return PlainToken(token=token.get_secret_value())  # type: ignore[no-untyped-call]


def make_client(
    settings: Settings, location: str, context: ssl.SSLContext, credentials: Credentials | None = None
) -> genai.Client:
    """A client for one location (Vertex) or for the Gemini API.

    Raises ValueError, in the SDK's words, for a key or project that is missing.
    """
    vertex = settings.use_vertexai
    base_url = settings.vertex_base_url if vertex else settings.gemini_base_url
    http_options = types.HttpOptions(
        base_url=base_url.rstrip("/") or None,  # a trailing slash would double the path's
        api_version=settings.api_version or PINNED_VERSIONS[settings.backend],
        client_args={"verify": context},
        async_client_args=socket_options(settings, context) | {"verify": context},
    )
    if not vertex:
        key = settings.gemini_api_key
        return genai.Client(vertexai=False, api_key=key.get_secret_value() if key else None, http_options=http_options)
    return genai.Client(
        vertexai=True,
        project=settings.google_cloud_project,
        location=location,
        credentials=credentials,
        http_options=http_options,
    )
