"""What keeps a process from carrying calls, as far as it can be known before it listens: one list for `callbot serve`,
`callbot check` and, through `callbot check --offline`, `deploy.sh`.

Nothing here asks the network. Each problem is one sentence that names the setting and says what to do. No value is repeated:
somebody may have pasted a secret into the wrong setting.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from callbot.environment import variables
from callbot.settings import Settings

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")  # ITU-T E.164; shorter ones are no numbers that Twilio dials
_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_REDIS_FORM: Final = "write it as redis://[:password@]host:port/number, or rediss:// with TLS"
# What the model's and Google's clients (websockets, httpx, requests) take a proxy from.
_PROXY_NAMES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_PROXY_SCHEMES: Final = frozenset({"http", "https"})
_SOCKS_SCHEMES: Final = frozenset({"socks5", "socks5h", "socks4", "socks4a"})
_BUNDLE_NAMES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def problems_before_serving(settings: Settings, environment: Mapping[str, str] | None = None) -> list[str]:
    """What keeps `callbot serve` from carrying calls; empty when nothing does.

    `environment` is this process's unless given: proxies and CA bundles are the libraries' variables, not settings.
    """
    environment = variables() if environment is None else environment
    return [
        *_twilio(settings),
        *_model(settings, environment),
        *_redis(settings),
        *_workers(settings),
        *_bundles(settings, environment),
        *_proxies(environment),
        *_address(settings),
    ]


def _twilio(settings: Settings) -> Iterator[str]:
    if settings.insecure and settings.k_service:
        yield "CALLBOT_INSECURE is set on Cloud Run: remove it, and set TWILIO_AUTH_TOKEN and SERVICE_URL."
    if not settings.insecure:
        if not settings.twilio_auth_token:
            yield "TWILIO_AUTH_TOKEN is not set: without it callbot cannot tell Twilio from a stranger."
        if not settings.service_url:
            yield "SERVICE_URL is not set: give the public address, such as https://bot.example."
        elif not all(origin.startswith("https://") for origin in settings.service_url):
            yield "SERVICE_URL must begin with https://: Twilio streams to wss addresses only."
    if settings.twilio_account_sid and not _ACCOUNT_SID.fullmatch(settings.twilio_account_sid):
        yield "TWILIO_ACCOUNT_SID is no account: copy it from Twilio's console, AC and 32 hexadecimal digits."
    if settings.fallback_number and not _E164.fullmatch(settings.fallback_number):
        yield "CALLBOT_FALLBACK_NUMBER is no telephone number: write it with + and country code, as +14155550100."


def _model(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    if settings.use_vertexai:
        if not settings.google_cloud_project:
            yield "GOOGLE_CLOUD_PROJECT is not set: Vertex needs it (or set GEMINI_API_KEY instead)."
        if settings.google_cloud_location == "global":
            yield "GOOGLE_CLOUD_LOCATION is global: Live models answer in regions only, such as us-central1."
        yield from _credentials(environment.get("GOOGLE_APPLICATION_CREDENTIALS", ""))
    elif settings.gemini_api_key is None:
        yield "GEMINI_API_KEY is not set (or set GOOGLE_GENAI_USE_VERTEXAI=1 and GOOGLE_CLOUD_PROJECT)."
    if not (
        settings.vertex_base_url if settings.use_vertexai else settings.gemini_base_url
    ):  # a server of one's own may differ
        for setting, model in (
            ("GOOGLE_GENAI_MODEL", settings.model),
            *(("CALLBOT_FALLBACK_MODELS", each) for each in settings.fallback_models),
        ):
            if "live" not in model and "native-audio" not in model:
                yield f"{setting} has a name that is no Live model's: theirs have live or native-audio in them."
    trigger, target = settings.compression_trigger_tokens, settings.compression_target_tokens
    if trigger and target >= trigger:
        yield (
            f"CALLBOT_COMPRESSION_TARGET_TOKENS ({target}) is not under CALLBOT_COMPRESSION_TRIGGER_TOKENS ({trigger}): "
            "half of it is a good choice."
        )


def _credentials(file: str) -> Iterator[str]:
    if not file:
        return
    try:
        kind = json.loads(Path(file).read_bytes()).get("type")
    except OSError as error:
        yield f"GOOGLE_APPLICATION_CREDENTIALS: the file cannot be read ({error.strerror})."
    except (ValueError, AttributeError):
        yield "GOOGLE_APPLICATION_CREDENTIALS: the file is no JSON object; download the key again."
    else:
        if not kind:
            yield "GOOGLE_APPLICATION_CREDENTIALS: the file has no type in it, so it is no credentials file."


def _redis(settings: Settings) -> Iterator[str]:
    if settings.redis_url is None:
        return
    try:
        parts = urlsplit(settings.redis_url.get_secret_value())
        port = parts.port
        number = parts.path.strip("/")
    except ValueError:
        # Not the error's own words, which have a part of the password in them.
        yield f"REDIS_URL is no address: {_REDIS_FORM}; / ? # and @ in a password as %2F %3F %23 and %40."
        return
    if parts.scheme == "unix":
        if not Path(parts.path).exists():
            yield "REDIS_URL: there is no socket of that name."
    elif parts.scheme not in {"redis", "rediss"} or not parts.hostname or port == 0 or (number and not number.isdecimal()):
        yield f"REDIS_URL is no address: {_REDIS_FORM}; / ? # and @ in a password as %2F %3F %23 and %40."
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        for file in parse_qs(parts.query).get(name, []):
            if not Path(file).is_file():
                yield f"REDIS_URL: there is no file as its {name} says."


def _workers(settings: Settings) -> Iterator[str]:
    if settings.worker_count > 1 and settings.redis_url is None:
        yield f"REDIS_URL is not set: {settings.worker_count} workers share the calls' tokens there (or set CALLBOT_WORKERS=1)."
    if settings.worker_count > settings.max_calls:
        yield f"CALLBOT_MAX_CALLS is under CALLBOT_WORKERS ({settings.worker_count}): a worker would have no call."


def _bundles(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    named = {"SSL_CERT_FILE": settings.ssl_cert_file} | {name: environment.get(name, "") for name in _BUNDLE_NAMES}
    for name, file in named.items():
        if not file or (name != "SSL_CERT_FILE" and Path(file).is_dir()):
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except ssl.SSLError:
            yield f"{name}: the file holds no certificates; give one in PEM form."
        except OSError as error:
            yield f"{name}: the file cannot be read ({error.strerror}); unset it, or name a file of certificates in PEM form."


def _proxies(environment: Mapping[str, str]) -> Iterator[str]:
    for name in _PROXY_NAMES:
        address = environment.get(name, "")
        if not address:
            continue
        try:
            parts = urlsplit(address)
            good = bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, good = urlsplit(""), False
        scheme = parts.scheme.lower()
        if scheme in _SOCKS_SCHEMES and good:
            if find_spec("python_socks") is None:
                yield f"{name} is a SOCKS proxy: install python-socks for it, or unset {name}, or give an http:// proxy."
        elif scheme not in _PROXY_SCHEMES or not good:
            yield f"{name} is no proxy that the model can be reached through: write it as http://host:port, or unset it."


def _address(settings: Settings) -> Iterator[str]:
    """Whether the address is this machine's. Port 0: whether PORT is free is seen when it is listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind((settings.host, 0))
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name"
        yield f"CALLBOT_HOST is no address of this machine ({why}); 0.0.0.0 or :: are all of them."
