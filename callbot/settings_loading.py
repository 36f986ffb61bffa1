"""How the settings are read: every value and name that cannot be used is told at once, in a sentence each."""

from typing import Any
from urllib.parse import unquote

from pydantic import AliasChoices, ValidationError

from callbot.environment import PREFIX, unknown_names, variables, variables_in
from callbot.settings import Settings


class SettingsError(Exception):
    """The settings cannot be used; every sentence says what to set."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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
    single = (
        settings.gemini_api_key,
        settings.redis_url,
        settings.state_key,
        settings.metrics_token,
        settings.vertex_access_token,
    )
    secrets = [secret.get_secret_value() for secret in (*settings.twilio_auth_token, *single) if secret is not None]
    if settings.redis_url is not None:
        # Not urlsplit's password: a slash in it ends the host there, and what it says then has a part of it.
        url = settings.redis_url.get_secret_value()
        password = url[url.find("://") + 3 : max(url.rfind("@"), 0)].partition(":")[2]
        secrets += [password, unquote(password)] if password else []
    return secrets
