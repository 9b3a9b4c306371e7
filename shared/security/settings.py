"""Settings from REPRIEVE_* of the environment: read once at the entry point, all mistakes told at once."""

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError

Settings = TypeVar("Settings", bound=BaseSettings)
Administration = TypeVar("Administration", bound="AdministrationSettings")

DEFAULT_DATA_DIR = Path(".reprieve")
DataDirOption = Annotated[Path, typer.Option(help="Where `reprieve up` keeps its data.")]


class AdministrationSettings(BaseSettings):
    """What administration needs. The URL logs in as the owner of the tables."""

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    admin_database_url: SecretStr


class OrganizationSettings(AdministrationSettings):
    """Creating an organization makes its index key, which the master key wraps."""

    master_key: SecretStr


class _UpFile(msgspec.Struct):
    """What administration reads of DATA_DIR/up.json; the rest of it is for others."""

    admin_database_url: str
    master_key: str


def read_administration(model: type[Administration], data_dir: Path) -> Administration:
    """
    Read what administration needs from the environment, else of the `reprieve up` that works on `data_dir`.

    The two are never mixed: the master key of this machine must not meet the database of a server. Raises
    InvalidInputError when neither has it.
    """
    names = {f"REPRIEVE_{field}".upper() for field in OrganizationSettings.model_fields}
    path = data_dir / "up.json"
    if not names & os.environ.keys() and path.exists():
        try:
            up = msgspec.json.decode(path.read_bytes(), type=_UpFile)
        except (OSError, msgspec.MsgspecError) as error:
            raise InvalidInputError(
                f"{path} cannot be read.", remedy="Stop the stack and start it again with `reprieve up`."
            ) from error
        return model.model_validate(msgspec.structs.asdict(up))
    try:
        return read_settings(model)
    except InvalidInputError as error:
        raise InvalidInputError(
            error.message,
            remedy="Set these environment variables, or name the folder of a `reprieve up` with --data-dir.",
        ) from None


def read_settings(model: type[Settings]) -> Settings:
    """Read a model from the environment. Raises InvalidInputError naming every wrong variable."""
    prefix = str(model.model_config.get("env_prefix", ""))
    try:
        return model()
    except ValidationError as error:
        mistakes = sorted(
            f"{prefix}{'_'.join(str(part) for part in one['loc'])}".upper()
            + (" is missing" if one["type"] == "missing" else f" is wrong ({one['type'].replace('_', ' ')})")
            for one in error.errors(include_input=False, include_context=False)
        )
    raise InvalidInputError("; ".join(mistakes) + ".", remedy="Set these environment variables.")
