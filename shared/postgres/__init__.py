"""PostgreSQL: engines, the one place that commits, locks, migrations."""

from shared.postgres.engine import Driver, create_engine, reading, records, rows, transaction
from shared.postgres.locks import LockSession, hold_locks, lock_session, lock_shards

__all__ = [
    "Driver",
    "LockSession",
    "create_engine",
    "hold_locks",
    "lock_session",
    "lock_shards",
    "reading",
    "records",
    "rows",
    "transaction",
]
