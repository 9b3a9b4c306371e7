"""PostgreSQL: engines, the one place that commits, locks, migrations."""

from shared.postgres.engine import create_engine, records, rows, transaction
from shared.postgres.locks import LockSession, hold_locks, lock_session, lock_shards

__all__ = [
    "LockSession",
    "create_engine",
    "hold_locks",
    "lock_session",
    "lock_shards",
    "records",
    "rows",
    "transaction",
]
