"""What ingest's processes are told from outside: REPRIEVE_* in the environment."""

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError


class IngestSettings(BaseSettings):
    """
    One process's settings. `port` None is the process's usual one.

    Raw files are kept at `raw_url`, which may be an object store, else in `raw_dir`: all ingest processes
    must see the same. `master_key` is the base64 of 32 bytes.
    The `push_…` limits hold for each key in each process; `waiting_files_max` and `free_bytes_min` close the
    door for everybody. `kafka_window_bytes` bounds what is in flight per partition.
    """

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    database_url: SecretStr
    master_key: SecretStr
    raw_dir: Path | None = None
    raw_url: str | None = None
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_window_bytes: int = Field(default=16 * 1024 * 1024, ge=100_000)
    max_upload_bytes: int = Field(default=512 * 1024 * 1024, ge=1)
    drop_dir: Path | None = None
    drop_stable_seconds: float = Field(default=5.0, ge=0)
    drop_keep_days: int = Field(default=30, ge=1)
    push_requests_per_minute: int = Field(default=60_000, ge=1)
    push_bytes_per_minute: int = Field(default=16 * 1024**3, ge=1)
    waiting_files_max: int = Field(default=500_000, ge=1)
    free_bytes_min: int = Field(default=1024**3, ge=0)
    host: str = "127.0.0.1"
    port: int | None = None

    def raw_files(self) -> Path | str:
        """Give where raw files are kept: a folder or a URL. Raises InvalidInputError when neither is set."""
        place = self.raw_url or self.raw_dir
        if place is None:
            raise InvalidInputError(
                "Raw files need a place.", remedy="Set REPRIEVE_RAW_DIR or REPRIEVE_RAW_URL."
            )
        return place


def read_settings() -> IngestSettings:
    """Read the environment. Raises InvalidInputError that lists all mistakes, never a value."""
    try:
        return IngestSettings()  # type: ignore[call-arg]  # they come from the environment
    except ValidationError as error:
        mistakes = [
            f"REPRIEVE_{'_'.join(map(str, one['loc'])).upper()} ({one['type']})" for one in error.errors()
        ]
        raise InvalidInputError(
            f"The settings are wrong: {', '.join(mistakes)}.", remedy="Set them in the environment."
        ) from None
