"""What the tracker's processes are told from outside: REPRIEVE_* in the environment."""

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError

RUNBOOKS_URL = "http://127.0.0.1:8083/runbooks/"


class WorkerSettings(BaseSettings):
    """tracker-worker. `port` None is the usual one; the window bounds what is in flight per partition."""

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_window_bytes: int = 16 * 1024 * 1024
    host: str = "127.0.0.1"
    port: int | None = None


class ApiSettings(BaseSettings):
    """
    tracker-api. The master key (base64) opens sealed identifiers and signs cursors.

    Files of cases are kept at `files_url`, which may be an object store, else in `files_dir`: all processes
    of it must see the same. Without either none are taken. `alerts_runbooks_url`: as in AlertSettings.
    """

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    master_key: SecretStr
    host: str = "127.0.0.1"
    port: int | None = None
    statement_timeout_seconds: float = 10.0
    alerts_allow_hosts: str = ""
    alerts_runbooks_url: str = RUNBOOKS_URL
    files_dir: Path | None = None
    files_url: str | None = None
    file_bytes_max: int = Field(default=25 * 1024 * 1024, ge=1)
    case_files_bytes_max: int = Field(default=250 * 1024 * 1024, ge=1)


class AlertSettings(BaseSettings):
    """
    tracker-alerts. The master key opens the secrets of channels.

    `alerts_allow_hosts`: names with commas between, * for any part, that channels may have though their
    addresses are private. A notification that fails is tried again after the first seconds, then after twice
    as long, up to the longest; it is given up, and a channel that failed all the time disabled, after so many
    days. `alerts_runbooks_url` is where the pages of docs/runbooks/ can be read, with a slash at its
    end; by default where tracker-api serves them on this machine.

    `alerts_case_link` is where a case can be opened, with {case_id} in it. `alerts_metrics_urls`: addresses
    of processes, with commas between, whose metrics say how the pipeline is; `alerts_metrics_key` is an
    operator's.
    """

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    master_key: SecretStr
    host: str = "127.0.0.1"
    port: int | None = None
    alerts_allow_hosts: str = ""
    alerts_timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    alerts_first_retry_seconds: float = Field(default=10.0, gt=0)
    alerts_longest_retry_seconds: float = Field(default=6 * 3600.0, gt=0)
    alerts_give_up_days: float = Field(default=3.0, gt=0)
    alerts_keep_days: int = Field(default=90, ge=1)
    alerts_runbooks_url: str = RUNBOOKS_URL
    alerts_case_link: str | None = None
    alerts_metrics_urls: str = ""
    alerts_metrics_key: SecretStr | None = None


def allowed_hosts(setting: str) -> tuple[str, ...]:
    """Read a list with commas between, as REPRIEVE_ALERTS_ALLOW_HOSTS."""
    return tuple(one.strip() for one in setting.split(",") if one.strip())


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


def read_alert_settings() -> AlertSettings:
    """Read the environment. Raises InvalidInputError that lists all mistakes, never a value."""
    try:
        return AlertSettings()  # type: ignore[call-arg]  # the environment gives the rest
    except ValidationError as error:
        raise _mistakes(error) from None


def _mistakes(error: ValidationError) -> InvalidInputError:
    found = [f"REPRIEVE_{'_'.join(map(str, one['loc'])).upper()} ({one['type']})" for one in error.errors()]
    return InvalidInputError(
        f"The settings are wrong: {', '.join(found)}.", remedy="Set them in the environment."
    )
