"""Settings from REPRIEVE_* of the environment: read once at the entry point, all mistakes told at once."""

from typing import TypeVar

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError

Settings = TypeVar("Settings", bound=BaseSettings)


class AdministrationSettings(BaseSettings):
    """What administration needs. The URL logs in as the owner of the tables."""

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    admin_database_url: SecretStr


class OrganizationSettings(AdministrationSettings):
    """Creating an organization makes its index key, which the master key wraps."""

    master_key: SecretStr


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
