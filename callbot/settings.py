"""The settings of one process: read once from the environment (and a `.env` file), frozen, passed down.

Nobody else in callbot reads the environment. Names without a prefix are those that Cloud Run, Twilio and Google already
use; callbot's own begin with `CALLBOT_`. Secrets are `SecretStr`, so no repr, log line or traceback shows them.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from callbot.brief import ActivityHandling, Converter, SafetyThreshold, Sensitivity, ThinkingLevel, TokenKind, TurnCoverage
from callbot.environment import PREFIX, unknown_names, variables, variables_in

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


class SettingsError(Exception):
    """The settings cannot be used; every sentence says what to set."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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
    port: int = Field(8080, ge=0, le=65535, validation_alias=_plain("PORT"))
    service_url: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias=_plain("SERVICE_URL"))
    host: str = "0.0.0.0"
    k_service: str = Field("", validation_alias=_plain("K_SERVICE"))
    k_revision: str = Field("", validation_alias=_plain("K_REVISION"))
    insecure: bool = False
    redis_url: SecretStr | None = Field(None, validation_alias=_plain("REDIS_URL"))
    redis_timeout_s: float = Field(0.5, gt=0, le=30)  # of one question; three in a row without an answer, and it is left alone
    workers: int = Field(1, ge=0, le=256)  # processes behind the port; 0 is one a core
    metrics_token: SecretStr | None = None

    # --- Twilio --------------------------------------------------------------------------------------------------------
    twilio_account_sid: str = Field("", validation_alias=_plain("TWILIO_ACCOUNT_SID"))
    twilio_auth_token: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias=_plain("TWILIO_AUTH_TOKEN"))
    allow_callers: Annotated[tuple[str, ...], NoDecode] = ()
    deny_callers: Annotated[tuple[str, ...], NoDecode] = ()
    fallback_number: str = ""  # a person to dial when the model cannot be reached; never one of the call's own numbers
    fallback_message: str = "I am connecting you with a person. Please hold the line."
    apology: str = "I am sorry, I cannot continue this conversation right now. Please call again later. Goodbye."
    apology_language: str = "en-US"
    busy_message: str = "All lines are busy right now. Please call again in a few minutes."

    # --- the model -----------------------------------------------------------------------------------------------------
    gemini_api_key: SecretStr | None = Field(None, validation_alias=_plain("GEMINI_API_KEY", "GOOGLE_API_KEY"))
    use_vertexai: bool = Field(
        default=False, validation_alias=_plain("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")
    )
    google_cloud_project: str = Field("", validation_alias=_plain("GOOGLE_CLOUD_PROJECT"))
    # Live models answer on regions only, never on "global" (Vertex "start and manage live sessions").
    google_cloud_location: str = Field("us-central1", validation_alias=_plain("GOOGLE_CLOUD_LOCATION"))
    model: str = Field("gemini-3.8-live", validation_alias=_plain("GOOGLE_GENAI_MODEL"))
    fallback_models: Annotated[tuple[str, ...], NoDecode] = ()
    # v1beta is the version that every report of a working Live session names; the SDK's own default is v1 since 3.0.
    api_version: str = Field("", validation_alias=_plain("GOOGLE_GENAI_API_VERSION"))
    gemini_base_url: str = Field("", validation_alias=_plain("GOOGLE_GEMINI_BASE_URL"))
    vertex_base_url: str = Field("", validation_alias=_plain("GOOGLE_VERTEX_BASE_URL"))
    vertex_access_token: SecretStr | None = None
    ssl_cert_file: str = Field("", validation_alias=_plain("SSL_CERT_FILE"))
    model_codec: Literal["direct", "sdk"] = "direct"
    prompt: str = DEFAULT_PROMPT
    prompt_file: Path | None = None
    greeting: str = DEFAULT_GREETING
    voice: str = ""
    language: str = ""
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_output_tokens: int = Field(0, ge=0)  # of one answer; 0 is the model's own limit
    thinking_level: ThinkingLevel | None = None  # 3.1 and extended thinking; unset: the least that the model takes
    thinking_budget: int | None = Field(None, ge=-1)  # tokens, 2.5; 0 is none, -1 the model's own choice
    affective_dialog: bool = False  # 2.5; on the Gemini API with GOOGLE_GENAI_API_VERSION=v1alpha only
    proactive_audio: bool | None = None  # whether the model may stay silent; likewise, and always on in 3.8
    safety_threshold: SafetyThreshold | None = None
    labels: Annotated[tuple[tuple[str, str], ...], NoDecode] = ()  # name=value, for the service's billing
    transcription_languages: Annotated[tuple[str, ...], NoDecode] = ()  # BCP-47; unset: found by the service
    transcription_words: Annotated[tuple[str, ...], NoDecode] = ()  # names that it should know
    vad_start_sensitivity: Sensitivity = "low"  # a phone line's noise starts turns at "high" (gemini-live facts 2.2)
    vad_end_sensitivity: Sensitivity = "default"
    vad_prefix_padding_ms: int = Field(20, ge=0, le=2000)
    vad_silence_ms: int = Field(500, ge=0, le=5000)  # 300 to 800 suits a telephone (gemini-live facts 2.2)
    activity_handling: ActivityHandling = "default"
    turn_coverage: TurnCoverage = "default"
    compression_trigger_tokens: int = Field(25_600, ge=0)  # 0 leaves compression out; about 13 min of audio at 32 tok/s
    compression_target_tokens: int = Field(12_800, ge=0)

    # What a minute of audio costs, in US dollars, for the estimate in the call's summary (3.8-live, September 2026).
    price_in_per_min: float = Field(0.005, ge=0)
    price_out_per_min: float = Field(0.018, ge=0)
    # Dollars for a million tokens, as "audio_in=3, text_in=0.5, audio_out=12, text_out=2, cached=0.3": when set, the cost is
    # that of the tokens which the service reported, with all of its context at each answer, thoughts and tools.
    price_per_mtok: Annotated[tuple[tuple[TokenKind, Price], ...], NoDecode] = ()

    # --- the audio path ------------------------------------------------------------------------------------------------
    upsampler: Converter = "sinc_medium"
    downsampler: Converter = "sinc_medium"
    playout_lead_ms: int = Field(400, ge=40, le=5000)  # how far ahead of what the caller hears Twilio is filled
    playout_queue_s: float = Field(120.0, ge=1, le=600)  # the longest answer kept in a call; 60 s is 0.5 MB of mu-law
    mark_every_ms: int = Field(500, ge=100, le=5000)
    backlog_s: float = Field(30.0, ge=1, le=120)  # the caller's words kept while there is no session
    uplink_max_message_ms: int = Field(100, ge=20, le=1000)

    # --- time limits of a call -----------------------------------------------------------------------------------------
    start_timeout_s: float = Field(5.0, gt=0, le=60)
    connect_timeout_s: float = Field(10.0, gt=0, le=60)
    unreachable_s: float = Field(12.0, gt=0, le=120)  # no model for so long: apologise and end
    greeting_timeout_s: float = Field(12.0, gt=0, le=120)
    reconnect_backoff_ms: int = Field(250, ge=0, le=10_000)
    reconnect_backoff_max_ms: int = Field(4_000, ge=0, le=60_000)
    comfort_after_s: float = Field(3.0, gt=0, le=60)
    first_audio_s: float = Field(7.0, gt=0, le=60)  # 5 to 8 s after the caller has finished (gemini-live facts 4.8)
    turn_gap_s: float = Field(4.0, gt=0, le=60)  # silence inside a turn, nothing left to play (same section)
    turn_complete_s: float = Field(30.0, gt=0, le=300)
    max_session_s: float = Field(540.0, ge=0)  # planned rotation before the ten-minute connection limit; 0 is never
    go_away_margin_s: float = Field(2.0, ge=0, le=30)
    max_call_s: float = Field(3300.0, gt=0, le=86_400)  # under Cloud Run's 3600 s request limit
    work_s: float = Field(60.0, gt=0, le=600)  # the service works on an answer and says so (IN_PROGRESS)
    trouble_s: float = Field(40.0, gt=0, le=300)  # words awaited through losses and moves for so long: apologise and end
    speech_limit_s: float = Field(12.0, gt=0, le=120)  # what never pauses for so long is a noise on the line
    keys_s: float = Field(4.0, gt=0, le=30)  # keys pressed within so long of each other are one entry
    hash_ends_keys: bool = True  # `#` ends an entry at once
    idle_ask_s: float = Field(20.0, ge=0, le=600)  # nobody speaks: the caller is asked whether they are still there; 0 is never
    idle_asks: int = Field(2, ge=0, le=10)  # so often; then the bot says goodbye
    caller_silence_s: float = Field(120.0, ge=0)  # nobody speaks at all, without being asked: 0 is never
    twilio_silence_s: float = Field(10.0, gt=0, le=120)
    model_silence_s: float = Field(60.0, gt=0, le=600)  # Google's pongs were seen 8 to 30 s late on healthy calls
    model_probe_s: float = Field(20.0, gt=0, le=300)
    keepalive_s: float = Field(5.0, gt=0, le=60)
    farewell_s: float = Field(10.0, gt=0, le=120)
    drain_s: float = Field(7.0, gt=0, le=3600)  # Cloud Run kills 10 s after SIGTERM
    progress_s: float = Field(10.0, gt=0, le=600)

    # --- admission -----------------------------------------------------------------------------------------------------
    max_calls: int = Field(30, ge=1, le=10_000)
    max_calls_per_caller_per_minute: int = Field(10, ge=1)
    max_unauthenticated_sockets: int = Field(64, ge=1)
    max_message_bytes: int = Field(65_536, ge=4096)
    max_form_bytes: int = Field(65_536, ge=4096)
    max_header_bytes: int = Field(16_384, ge=4096)  # Twilio's are under 2 kB, a proxy adds some
    max_json_depth: int = Field(16, ge=4)  # Twilio's deepest message has three levels
    max_connections: int = Field(512, ge=8)  # of any kind; a few hundred bytes to 60 kB of memory each
    newcomer_share: float = Field(0.25, gt=0, le=1)  # of the loop's time, for whoever has no call yet, while calls run
    request_timeout_s: float = Field(5.0, gt=0, le=60)  # for the headers, again for the body; also of an idle connection
    refusal_lines_per_s: float = Field(1.0, gt=0)  # log lines for each reason; ten seconds' worth may come at once
    max_messages_per_s: int = Field(75, ge=60)  # a healthy stream has 50 frames and a few marks; a silent line earns a clump
    token_ttl_s: float = Field(60.0, gt=0, le=600)
    stream_attempts: int = Field(3, ge=1, le=10)  # streams of one call in any minute; then the apology
    prewarm: bool = True
    prewarm_s: float = Field(10.0, gt=0, le=60)
    max_prewarmed: int = Field(8, ge=0, le=1000)

    # --- logs ----------------------------------------------------------------------------------------------------------
    log_format: Literal["json", "console"] = Field("json", validation_alias=_plain("LOG_FORMAT"))
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias=_plain("LOG_LEVEL"))
    log_transcripts: bool = False

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
    except ValueError:  # its own words have a part of the value
        raise ValueError("that is no origin; write it as https://bot.example") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("leave the user and the password out; write it as https://bot.example")
    if parts.scheme not in {"https", "http"} or not parts.hostname or not _has_good_port(parts):
        raise ValueError("that is no origin; write it as https://bot.example")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("that is more than an origin; write it as https://bot.example, without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # beyond 65535, or no number
        return False


def load(**overrides: Any) -> Settings:
    """Read the settings; raises `SettingsError` with one sentence for each value or name that cannot be used."""
    file = overrides.get("_env_file", Settings.model_config.get("env_file"))
    known = set(environment_names().values())
    problems = unknown_names(variables(), known)
    try:
        problems += [f"{problem} (in {file})" for problem in unknown_names(variables_in(file), known)]
    except (OSError, UnicodeDecodeError):
        raise SettingsError([f"{file} cannot be read as a file of settings in UTF-8"]) from None
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError([*problems, *map(_sentence, error.errors())]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def environment_names() -> dict[str, str]:
    """The name in the environment of every setting, by its name here; of several the first."""
    return {
        name: str(field.validation_alias.choices[0])
        if isinstance(field.validation_alias, AliasChoices)
        else f"{PREFIX}{name.upper()}"
        for name, field in Settings.model_fields.items()
    }


def _sentence(problem: Any) -> str:
    where = str(problem["loc"][0]) if problem["loc"] else ""
    why = str(problem["msg"]).removeprefix("Value error, ")
    if not where:
        return why
    name = environment_names().get(where, where if where.isupper() else f"CALLBOT_{where.upper()}")
    return f"{name}: {why[0].lower()}{why[1:]}"


def secrets_of(settings: Settings) -> list[str]:
    """Every secret that the settings hold: what no log line may show, whatever carries it there."""
    single = (settings.gemini_api_key, settings.redis_url, settings.metrics_token, settings.vertex_access_token)
    secrets = [secret.get_secret_value() for secret in (*settings.twilio_auth_token, *single) if secret is not None]
    if settings.redis_url is not None:
        # Not urlsplit's password: a slash in it ends the host there, and what it says then has a part of it.
        url = settings.redis_url.get_secret_value()
        password = url[url.find("://") + 3 : max(url.rfind("@"), 0)].partition(":")[2]
        secrets += [password, unquote(password)] if password else []
    return secrets
