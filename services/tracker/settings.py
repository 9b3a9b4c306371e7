"""What the tracker's processes are told from outside: REPRIEVE_* in the environment."""

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError


class WorkerSettings(BaseSettings):
    """tracker-worker. `port` None is the usual one; the window bounds what is in flight per partition."""

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_window_bytes: int = 16 * 1024 * 1024
    host: str = "127.0.0.1"
    port: int | None = None


class ApiSettings(BaseSettings):
    """tracker-api. The master key (base64) opens sealed identifiers and signs cursors."""

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    master_key: SecretStr
    host: str = "127.0.0.1"
    port: int | None = None
    statement_timeout_seconds: float = 10.0


def read_worker_settings() -> WorkerSettings:
    """Read the environment. Raises InvalidInputError that lists all mistakes, never a value."""
    try:
        return WorkerSettings()  # type: ignore[call-arg]  # the environment gives the rest
    except ValidationError as error:
        raise _mistakes(error) from None


def read_api_settings() -> ApiSettings:
    """Read the environment. Raises InvalidInputError that lists all mistakes, never a value."""
    try:
        return ApiSettings()  # type: ignore[call-arg]  # the environment gives the rest
    except ValidationError as error:
        raise _mistakes(error) from None


def _mistakes(error: ValidationError) -> InvalidInputError:
    found = [f"REPRIEVE_{'_'.join(map(str, one['loc'])).upper()} ({one['type']})" for one in error.errors()]
    return InvalidInputError(
        f"The settings are wrong: {', '.join(found)}.", remedy="Set them in the environment."
    )
