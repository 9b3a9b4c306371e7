"""PostgreSQL: engines, the one place that commits, locks, migrations."""

from shared.postgres.engine import create_engine, rows, transaction
from shared.postgres.locks import hold_locks, lock_shards

__all__ = ["create_engine", "hold_locks", "lock_shards", "rows", "transaction"]
