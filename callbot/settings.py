"""The settings of one process: read once from the environment (and a `.env` file), frozen, passed down.

Nobody else in callbot reads the environment. Names without a prefix are those that Cloud Run, Twilio and Google already
use; callbot's own begin with `CALLBOT_`. Secrets are `SecretStr`, so no repr, log line or traceback shows them.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from callbot.brief import ActivityHandling, Converter, SafetyThreshold, Sensitivity, ThinkingLevel, TokenKind, TurnCoverage
from callbot.environment import PREFIX

type Price = Annotated[float, Field(ge=0)]

DEFAULT_PROMPT = """\
You are the voice of a small company's telephone line. You are an AI assistant and say so when asked.
You are on a telephone: speak in short, natural sentences, one thought at a time, and never use lists, symbols or markup.
Say numbers digit by digit and repeat back anything the caller will want to be sure of.
If you did not catch something, say so and ask again. If the caller interrupts you, stop and listen to the new request.
Answer in the caller's language. When the caller says goodbye, say goodbye in one short sentence."""

DEFAULT_GREETING = (
    "The call has just been answered. Greet the caller in one short sentence, say that you are an AI assistant, "
    "and ask how you can help."
)


def _plain(*names: str) -> Any:
    """A setting read from exactly these environment names, without callbot's prefix."""
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Everything that can be set. Times in seconds or milliseconds as the name says, audio rates in Hz."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    # --- the service ---------------------------------------------------------------------------------------------------
    port: int = Field(8080, ge=0, le=65535, validation_alias=_plain("PORT"))  # listened on; 0 lets the system choose
    # the public origin that Twilio calls, as https://bot.example; several, separated by commas, while an address changes
    service_url: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias=_plain("SERVICE_URL"))
    host: str = "0.0.0.0"  # listened on; 0.0.0.0 and :: are all of the machine's addresses
    # set by Cloud Run: the service, and with it that this is Cloud Run
    k_service: str = Field("", validation_alias=_plain("K_SERVICE"))
    k_revision: str = Field("", validation_alias=_plain("K_REVISION"))  # set by Cloud Run: the revision, for the log
    insecure: bool = False  # take webhooks and streams without a signature; for work on one machine, refused on Cloud Run
    # the store that workers and instances share, as redis://[:password@]host:port/number, or rediss:// with TLS
    redis_url: SecretStr | None = Field(None, validation_alias=_plain("REDIS_URL"))
    state_key: SecretStr | None = Field(None, min_length=16)  # seals conversations in Redis; without one the auth token does
    # of one question; three in a row without an answer, and Redis is left alone for a while
    redis_timeout_s: float = Field(0.5, gt=0, le=30)
    workers: int = Field(1, ge=0, le=256)  # processes behind the port; 0 or auto is one a core; more than one need REDIS_URL
    # what /metrics wants as a bearer token; without one it answers only this machine, and on Cloud Run nobody
    metrics_token: SecretStr | None = None

    # --- Twilio --------------------------------------------------------------------------------------------------------
    # AC and 32 hexadecimal digits; webhooks and streams of other accounts are then refused
    twilio_account_sid: str = Field("", validation_alias=_plain("TWILIO_ACCOUNT_SID"))
    # the account's token, which signs its requests; both, separated by commas, while it is rotated
    twilio_auth_token: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias=_plain("TWILIO_AUTH_TOKEN"))
    # only these may call: numbers or their beginnings, separated by commas
    allow_callers: Annotated[tuple[str, ...], NoDecode] = ()
    # these may not call: numbers or their beginnings, separated by commas
    deny_callers: Annotated[tuple[str, ...], NoDecode] = ()
    # a person's number, as +14155550100: callers are put through to it when the model cannot be reached
    fallback_number: str = ""
    fallback_message: str = "I am connecting you with a person. Please hold the line."  # said before a person is dialled
    # said when the model cannot be reached and there is no fallback number
    apology: str = "I am sorry, I cannot continue this conversation right now. Please call again later. Goodbye."
    apology_language: str = "en-US"  # of the apology and the busy message, as Twilio's <Say> takes it
    # said when there is no place for a call
    busy_message: str = "All lines are busy right now. Please call again in a few minutes."

    # --- the model -----------------------------------------------------------------------------------------------------
    # of the Gemini API; GOOGLE_API_KEY is read too
    gemini_api_key: SecretStr | None = Field(None, validation_alias=_plain("GEMINI_API_KEY", "GOOGLE_API_KEY"))
    # Vertex AI with Google's credentials instead of the Gemini API with a key
    use_vertexai: bool = Field(
        default=False, validation_alias=_plain("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")
    )
    google_cloud_project: str = Field("", validation_alias=_plain("GOOGLE_CLOUD_PROJECT"))  # of Vertex
    # of Vertex: a region. Live models do not answer on "global" (Vertex, "Start and manage live sessions")
    google_cloud_location: str = Field("us-central1", validation_alias=_plain("GOOGLE_CLOUD_LOCATION"))
    model: str = Field("gemini-3.8-live", validation_alias=_plain("GOOGLE_GENAI_MODEL"))  # a Live model
    # tried in turn when the model refuses, separated by commas; model@location on Vertex
    fallback_models: Annotated[tuple[str, ...], NoDecode] = ()
    # of the Live API; empty is v1beta, the version that every report of a working Live session names
    api_version: str = Field("", validation_alias=_plain("GOOGLE_GENAI_API_VERSION"))
    # another address of the Gemini API: a proxy, or a stand-in
    gemini_base_url: str = Field("", validation_alias=_plain("GOOGLE_GEMINI_BASE_URL"))
    vertex_base_url: str = Field("", validation_alias=_plain("GOOGLE_VERTEX_BASE_URL"))  # another address of Vertex
    vertex_access_token: SecretStr | None = None  # a token for Vertex in place of Google's credentials; it is not renewed
    # certificates to trust in PEM form, in place of certifi's
    ssl_cert_file: str = Field("", validation_alias=_plain("SSL_CERT_FILE"))
    # how the model's messages are read: direct, or by the SDK's own code, which is slower
    model_codec: Literal["direct", "sdk"] = "direct"
    prompt: str = DEFAULT_PROMPT  # the system instruction; a persona that ships with callbot by default
    prompt_file: Path | None = None  # a file in UTF-8 with the system instruction; goes before CALLBOT_PROMPT
    greeting: str = DEFAULT_GREETING  # what the model is asked at the start, so that it speaks first
    voice: str = ""  # one of the model's; empty is the model's own choice
    language: str = ""  # as BCP 47, for models that take one; most native-audio models choose it themselves
    temperature: float | None = Field(None, ge=0, le=2)  # empty is the model's own
    top_p: float | None = Field(None, ge=0, le=1)  # nucleus sampling; empty is the model's own
    max_output_tokens: int = Field(0, ge=0)  # of one answer; 0 is the model's own limit
    thinking_level: ThinkingLevel | None = None  # 3.1 and extended thinking; unset: the least that the model takes
    thinking_budget: int | None = Field(None, ge=-1)  # tokens, 2.5; 0 is none, -1 the model's own choice
    affective_dialog: bool = False  # 2.5; on the Gemini API with GOOGLE_GENAI_API_VERSION=v1alpha only
    proactive_audio: bool | None = None  # whether the model may stay silent; likewise, and always on in 3.8
    safety_threshold: SafetyThreshold | None = None  # how readily the service blocks content; empty is its default
    labels: Annotated[tuple[tuple[str, str], ...], NoDecode] = ()  # name=value, for the service's billing
    transcription_languages: Annotated[tuple[str, ...], NoDecode] = ()  # BCP-47; unset: found by the service
    transcription_words: Annotated[tuple[str, ...], NoDecode] = ()  # names that it should know
    # how readily the model hears a caller begin; a phone line's noise starts turns at "high"
    vad_start_sensitivity: Sensitivity = "low"
    vad_end_sensitivity: Sensitivity = "default"  # how readily the model takes a caller to have finished
    vad_prefix_padding_ms: int = Field(20, ge=0, le=2000)  # speech so long before the model takes it for a beginning
    # silence so long before the model takes the caller to have finished; 300 to 800 suits a telephone
    vad_silence_ms: int = Field(500, ge=0, le=5000)
    activity_handling: ActivityHandling = "default"  # whether the caller may speak over the model
    turn_coverage: TurnCoverage = "default"  # what of the audio belongs to a turn
    # the conversation is compressed at so many; 0 is never; 25,600 is about 13 min of audio at 32 tokens/s
    compression_trigger_tokens: int = Field(25_600, ge=0)
    compression_target_tokens: int = Field(12_800, ge=0)  # and down to so many; under the trigger

    # US dollars a minute of audio to the model, for the estimate in call.summary (3.8-live, September 2026)
    price_in_per_min: float = Field(0.005, ge=0)
    price_out_per_min: float = Field(0.018, ge=0)  # US dollars a minute of audio from the model, likewise
    # US dollars for a million tokens, as "audio_in=3, text_in=0.5, audio_out=12, text_out=2, cached=0.3": when set, the cost is
    # that of the tokens which the service reported, with all of its context at each answer, thoughts and tools
    price_per_mtok: Annotated[tuple[tuple[TokenKind, Price], ...], NoDecode] = ()

    # --- the audio path ------------------------------------------------------------------------------------------------
    upsampler: Converter = "sinc_medium"  # libsamplerate's converter for the caller's audio
    downsampler: Converter = "sinc_medium"  # libsamplerate's converter for the model's audio
    playout_lead_ms: int = Field(400, ge=40, le=5000)  # how far ahead of what the caller hears Twilio is filled
    playout_queue_s: float = Field(120.0, ge=1, le=600)  # the longest answer kept in a call; 60 s is 0.5 MB of mu-law
    mark_every_ms: int = Field(500, ge=100, le=5000)  # how often Twilio is asked to say what it has played
    backlog_s: float = Field(30.0, ge=1, le=120)  # the caller's words kept while there is no session
    uplink_max_message_ms: int = Field(100, ge=20, le=1000)  # the most audio in one message to the model

    # --- time limits of a call -----------------------------------------------------------------------------------------
    start_timeout_s: float = Field(5.0, gt=0, le=60)  # a stream that has not sent its start by then is closed
    connect_timeout_s: float = Field(10.0, gt=0, le=60)  # opening one session with the model
    unreachable_s: float = Field(12.0, gt=0, le=120)  # no model for so long: apologise and end
    greeting_timeout_s: float = Field(12.0, gt=0, le=120)  # no first word of the model for so long: it is asked again
    reconnect_backoff_ms: int = Field(250, ge=0, le=10_000)  # the first pause before a session is opened again; it doubles
    reconnect_backoff_max_ms: int = Field(4_000, ge=0, le=60_000)  # the longest such pause
    comfort_after_s: float = Field(3.0, gt=0, le=60)  # a soft sound comes so often while the caller waits
    # an answer due for so long: the model is asked for it; 5 to 8 s after the caller has finished is usual
    first_audio_s: float = Field(7.0, gt=0, le=60)
    # silence inside a turn with nothing left to play for so long: the model is asked
    turn_gap_s: float = Field(4.0, gt=0, le=60)
    turn_complete_s: float = Field(30.0, gt=0, le=300)  # a turn that is not ended for so long is taken to be over
    # a session is moved to a new one before the ten-minute connection limit; 0 is never
    max_session_s: float = Field(540.0, ge=0)
    go_away_margin_s: float = Field(2.0, ge=0, le=30)  # moved so long before the moment that the service announced
    max_call_s: float = Field(3300.0, gt=0, le=86_400)  # the longest call; under Cloud Run's limit of 3600 s for a request
    work_s: float = Field(60.0, gt=0, le=600)  # the service works on an answer and says so: waited for so long
    trouble_s: float = Field(40.0, gt=0, le=300)  # an answer awaited through losses and moves for so long: apologise and end
    speech_limit_s: float = Field(12.0, gt=0, le=120)  # what never pauses for so long is a noise on the line
    keys_s: float = Field(4.0, gt=0, le=30)  # keys pressed within so long of each other are one entry
    hash_ends_keys: bool = True  # # ends an entry at once
    # nobody speaks for so long: the caller is asked whether they are still there; 0 is never
    idle_ask_s: float = Field(20.0, ge=0, le=600)
    idle_asks: int = Field(2, ge=0, le=10)  # asked so often; then the bot says goodbye
    # nobody speaks at all for so long, and is not asked: the call ends; 0 is never
    caller_silence_s: float = Field(120.0, ge=0)
    twilio_silence_s: float = Field(10.0, gt=0, le=120)  # no frame from Twilio for so long: the stream is taken for dead
    # nothing at all from the model for so long: the session is lost; pongs were seen 8 to 30 s late on healthy calls
    model_silence_s: float = Field(60.0, gt=0, le=600)
    model_probe_s: float = Field(20.0, gt=0, le=300)  # the model's connection is probed after so long without a word from it
    keepalive_s: float = Field(5.0, gt=0, le=60)  # between two pings to the model
    farewell_s: float = Field(10.0, gt=0, le=120)  # the longest that a goodbye may take
    drain_s: float = Field(7.0, gt=0, le=3600)  # calls have so long to end or move after SIGTERM; Cloud Run kills 10 s after it
    progress_s: float = Field(10.0, gt=0, le=600)  # between two call.progress lines of a call

    # --- admission -----------------------------------------------------------------------------------------------------
    max_calls: int = Field(30, ge=1, le=10_000)  # at once, of all workers together; the next caller hears the busy message
    max_calls_per_caller_per_minute: int = Field(10, ge=1)  # of one number; more hear the busy message
    max_unauthenticated_sockets: int = Field(64, ge=1)  # open WebSockets that have not shown their token yet
    max_message_bytes: int = Field(65_536, ge=4096)  # of one WebSocket message of Twilio's
    max_form_bytes: int = Field(65_536, ge=4096)  # of one webhook's body
    max_header_bytes: int = Field(16_384, ge=4096)  # of one request; Twilio's are under 2 kB, a proxy adds some
    max_json_depth: int = Field(16, ge=4)  # of Twilio's messages; the deepest has three levels
    max_connections: int = Field(512, ge=8)  # of any kind; a few hundred bytes to 60 kB of memory each
    newcomer_share: float = Field(0.25, gt=0, le=1)  # of the loop's time, for whoever has no call yet, while calls run
    request_timeout_s: float = Field(5.0, gt=0, le=60)  # for the headers, again for the body; also of an idle connection
    refusal_lines_per_s: float = Field(1.0, gt=0)  # log lines for each reason of refusal; ten seconds' worth may come at once
    # of one stream; a healthy one has 50 frames and a few marks, and after a silence a clump
    max_messages_per_s: int = Field(75, ge=60)
    token_ttl_s: float = Field(60.0, gt=0, le=600)  # a stream has to come so soon after its webhook
    stream_attempts: int = Field(3, ge=1, le=10)  # streams of one call in any minute; then the apology
    prewarm: bool = True  # open the model's session when the webhook comes, before the stream
    prewarm_s: float = Field(10.0, gt=0, le=60)  # such a session is kept for so long
    max_prewarmed: int = Field(8, ge=0, le=1000)  # such sessions at once

    # --- logs ----------------------------------------------------------------------------------------------------------
    # json for machines, console for people, auto: console on a terminal
    log_format: Literal["auto", "json", "console"] = Field("auto", validation_alias=_plain("LOG_FORMAT"))
    # debug, info, warning or error
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias=_plain("LOG_LEVEL"))
    log_transcripts: bool = False  # write down what is said, redacted; ask a lawyer first

    @field_validator(
        "service_url",
        "twilio_auth_token",
        "allow_callers",
        "deny_callers",
        "fallback_models",
        "transcription_languages",
        "transcription_words",
        mode="before",
    )
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("labels", "price_per_mtok", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(name.strip() and equals for name, equals, _ in pairs):
            raise ValueError("write it as name=value, several separated by commas")
        return tuple((name.strip(), content.strip()) for name, _, content in pairs)

    @field_validator("workers", mode="before")
    @classmethod
    def _one_a_core(cls, value: Any) -> Any:
        return 0 if value == "auto" else value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("service_url")
    @classmethod
    def _public_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(text) for text in origins)

    @field_validator("prompt_file")
    @classmethod
    def _prompt_file_is_there(cls, path: Path | None) -> Path | None:
        if path is None:
            return path
        if not path.is_file():
            raise ValueError("there is no file of that name")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("the file is not in UTF-8; save it so") from None
        except OSError as error:
            raise ValueError(f"the file cannot be read ({error.strerror})") from None
        if not text.strip():
            raise ValueError("the file is empty")
        return path

    @model_validator(mode="after")
    def _waits_fit(self) -> Self:
        if self.reconnect_backoff_max_ms < self.reconnect_backoff_ms:
            raise ValueError("CALLBOT_RECONNECT_BACKOFF_MAX_MS is under CALLBOT_RECONNECT_BACKOFF_MS")
        return self

    @classmethod
    def settings_customise_sources(  # the signature is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then `.env`; neither with `CALLBOT_` before a name that has none (Kubernetes' CALLBOT_PORT)."""
        foreign = {f"callbot_{name}" for name, field in cls.model_fields.items() if field.validation_alias is not None}
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                source.env_vars = {name: value for name, value in source.env_vars.items() if name.lower() not in foreign}
        return init_settings, env_settings, dotenv_settings

    @property
    def public_url(self) -> str:
        """The first public origin, without a trailing slash; empty when none is set."""
        return self.service_url[0] if self.service_url else ""

    @property
    def stream_url(self) -> str:
        """The `wss` address that Twilio is told to open, made from SERVICE_URL alone."""
        return self.public_url.replace("https://", "wss://", 1).replace("http://", "ws://", 1) + "/ws/twilio"

    @property
    def worker_count(self) -> int:
        """How many processes carry calls."""
        return self.workers or os.process_cpu_count() or 1

    @property
    def backend(self) -> Literal["gemini", "vertex"]:
        """Which of Google's two services is used."""
        return "vertex" if self.use_vertexai else "gemini"

    @property
    def system_instruction(self) -> str:
        """The prompt: the file's text when a file is named, else the setting's, else the persona that ships."""
        if self.prompt_file is not None:
            return self.prompt_file.read_text(encoding="utf-8-sig").strip()
        return self.prompt


def _origin(text: str) -> str:
    """A public origin in the form that Twilio signs: scheme, host in lower case, no path."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its own words have a part of the value
        raise ValueError("that is no origin; write it as https://bot.example") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("leave the user and the password out; write it as https://bot.example")
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise ValueError("that is no origin; write it as https://bot.example")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("that is more than an origin; write it as https://bot.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"
