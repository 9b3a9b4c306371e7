"""Migrations, up and down, and the passwords of the runtime roles."""

from collections.abc import Mapping
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up. `url` logs in as the role that owns the tables. Call it outside an event loop."""
    command.upgrade(_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Migrate down to `revision` (`base` removes everything). Call it outside an event loop."""
    command.downgrade(_config(url), revision)


async def let_roles_log_in(url: str, passwords: Mapping[str, str]) -> None:
    """Give runtime roles their passwords; a role without one cannot log in."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for role, password in passwords.items():
                statement = await connection.scalar(
                    text(
                        "select format('alter role %I login password %L', "
                        "cast(:role as text), cast(:password as text))"
                    ),
                    {"role": role, "password": password},
                )
                await connection.execute(text(str(statement).replace(":", r"\:")))
    finally:
        await engine.dispose()
