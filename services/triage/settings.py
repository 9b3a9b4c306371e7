"""What triage's processes are told from outside: REPRIEVE_* in the environment."""

from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError


class TriageSettings(BaseSettings):
    """
    One process's settings. `port` None is the process's usual one.

    `kafka_window_bytes` bounds what is in flight per partition; files in `policies_dir` add to the shipped
    policies and replace those of the same id.
    """

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_window_bytes: int = 16 * 1024 * 1024
    host: str = "127.0.0.1"
    port: int | None = None
    policies_dir: Path | None = None


def read_settings() -> TriageSettings:
    """Read the environment. Raises InvalidInputError that lists all mistakes, never a value."""
    try:
        return TriageSettings()  # type: ignore[call-arg]  # the environment gives the rest
    except ValidationError as error:
        mistakes = ", ".join(
            f"REPRIEVE_{str(one['loc'][0]).upper()} ({one['type']})" for one in error.errors()
        )
        raise InvalidInputError(
            f"The settings are wrong: {mistakes}.", remedy="Set them in the environment."
        ) from None
