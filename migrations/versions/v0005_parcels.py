"""
shared: what goes out travels in parcels.

A message that is there already becomes a parcel of one, in the state that it is in.
"""

from itertools import pairwise
from typing import NamedTuple

from alembic import op
from sqlalchemy import text
from zstandard import ZstdCompressor, ZstdDecompressor

from migrations.parcels import create_messages, create_parcels, wall_parcels
from migrations.walls import build_wall, create_outbox

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


class _Outbox(NamedTuple):
    """An outbox whose messages are receipted: its own columns with their types, and its own index."""

    table: str
    role: str
    columns: dict[str, str]
    keyed_by: tuple[str, str]
    staged_for: str = "null::uuid"

    @property
    def column_list(self) -> str:
        return ", ".join(f"{name} {sql_type}" for name, sql_type in self.columns.items())


_OUTBOXES = (
    _Outbox(
        "ingest.claim_events",
        "reprieve_ingest",
        {
            "remittance_id": "uuid not null",
            "charge_amount": "numeric not null",
            "denied_amount": "numeric not null",
        },
        ("claim_events_remittance", "organization_id, remittance_id"),
        staged_for="case when due_at = 'infinity' then remittance_id end",
    ),
    _Outbox(
        "triage.decisions",
        "reprieve_triage",
        {
            "event_id": "uuid not null",
            "event_revision": "integer not null",
            "charge_amount": "numeric not null",
            "denied_amount": "numeric not null",
            "category": "text",
            "auth_related": "boolean not null",
            "policy_id": "text",
        },
        # Without organization_id on purpose: see v0003.
        ("decisions_event", "event_id, event_revision"),
    ),
    _Outbox(
        "tracker.facts",
        "reprieve_tracker",
        {
            "case_id": "uuid not null",
            "kind": "text not null",
            "value": "text not null",
            "note": "text",
            "recorded_by": "uuid not null",
            "recorded_at": "timestamptz not null",
        },
        ("facts_case", "organization_id, case_id"),
    ),
)
_UNRECEIPTED = "tracker.outbox"
_UNRECEIPTED_ROLE = "reprieve_tracker"

_PAGE = 500
_MESSAGE = "organization_id, message_id, revision, created_at, settled_at, parked_at, parked_reason, size"


def upgrade() -> None:
    for outbox in _OUTBOXES:
        _drop_finders(outbox.table)
        _gather(outbox.table, role=outbox.role, staged_for=outbox.staged_for)
        own = ", ".join(outbox.columns)
        op.execute(
            f"create table {outbox.table}_kept as"
            f" select {_MESSAGE}, position as parcel_id, 1 as place, {own} from {outbox.table}"
        )
        op.execute(f"drop table {outbox.table}")
        create_messages(outbox.table, columns=outbox.column_list)
        op.execute(
            f"insert into {outbox.table} ({_MESSAGE}, parcel_id, place, {own})"
            f" select {_MESSAGE}, parcel_id, place, {own} from {outbox.table}_kept"
        )
        op.execute(f"drop table {outbox.table}_kept")
        name, columns = outbox.keyed_by
        op.execute(f"create index {name} on {outbox.table} ({columns})")
        build_wall(outbox.table, role=outbox.role)
        wall_parcels(outbox.table, role=outbox.role, receipted=True)
    _drop_finders(_UNRECEIPTED)
    # Without receipts nothing is ever settled, and a parcel that is laid aside is still whole.
    _gather(_UNRECEIPTED, role=_UNRECEIPTED_ROLE, staged_for="null::uuid", counts="true")
    op.execute(f"drop table {_UNRECEIPTED}")
    wall_parcels(_UNRECEIPTED, role=_UNRECEIPTED_ROLE, receipted=False)


_OPEN = "settled_at is null and parked_at is null"


def _gather(table: str, *, role: str, staged_for: str, counts: str = _OPEN) -> None:
    """Make a parcel of one of every message of the old form; it is open where the condition `counts` holds."""
    create_parcels(table, role=role)
    # Forced row-level security would hide the rows from the owner too.
    op.execute(f"alter table {table} no force row level security")
    op.execute(f"""
        insert into {table}_parcels (organization_id, parcel_id, created_at, due_at, staged_for, shard, attempts,
            messages, open_messages, open_bytes, topic, message_ids, revisions, types, message_keys, trace_parents,
            ends, payloads)
        select organization_id, position, created_at, case when {_OPEN} then due_at end, {staged_for}, shard,
            attempts, 1, case when {counts} then 1 else 0 end, case when {counts} then size else 0 end, topic,
            array[message_id], array[revision], array[type], array[message_key], array[trace_parent],
            array[length(payload)], ''
        from {table} order by position
    """)
    _compress(table)
    op.execute(
        f"select setval('{table}_parcels_parcel_id_seq', coalesce(max(parcel_id), 0) + 1, false)"
        f" from {table}_parcels"
    )


def _compress(table: str) -> None:
    """Fill the payloads of the parcels, which SQL cannot compress."""
    connection = op.get_bind()
    page = text(
        f"select position, payload from {table} where position > :after order by position limit {_PAGE}"
    )
    fill = text(f"update {table}_parcels set payloads = :payloads where parcel_id = :parcel_id")
    after = -1
    while found := connection.execute(page, {"after": after}).all():
        compressed = [
            {"parcel_id": row.position, "payloads": ZstdCompressor(level=1).compress(row.payload)}
            for row in found
        ]
        connection.execute(fill, compressed)
        after = found[-1].position


def _decompress(table: str) -> None:
    """Give every payload a row of its own again, in `<table>_payloads`."""
    connection = op.get_bind()
    op.execute(f"create table {table}_payloads (parcel_id bigint, place integer, payload bytea)")
    page = text(
        f"select parcel_id, payloads, ends from {table}_parcels where parcel_id > :after"
        " order by parcel_id limit 100"
    )
    keep = text(f"insert into {table}_payloads values (:parcel_id, :place, :payload)")
    after = -1
    while found := connection.execute(page, {"after": after}).all():
        for row in found:
            together = ZstdDecompressor().decompress(row.payloads)
            places = enumerate(pairwise((0, *row.ends)), 1)
            connection.execute(
                keep,
                [
                    {"parcel_id": row.parcel_id, "place": place, "payload": together[start:end]}
                    for place, (start, end) in places
                ],
            )
        after = found[-1].parcel_id


def _drop_finders(table: str) -> None:
    schema, name = table.split(".")
    op.execute(f"drop function {schema}.due_{name}(smallint[], bigint, integer)")
    op.execute(f"drop function {schema}.in_flight_{name}(smallint[])")
    op.execute(f"drop function {schema}.backlog_{name}()")


def downgrade() -> None:
    _scatter_unreceipted()
    for outbox in reversed(_OUTBOXES):
        _scatter(outbox)


def _scatter(outbox: _Outbox) -> None:
    """Give every message its row of the old form; one whose parcel is gone has an empty payload and is settled."""
    table, own = outbox.table, ", ".join(outbox.columns)
    _drop_finders(table)
    op.execute(f"alter table {table} no force row level security")
    op.execute(f"alter table {table}_parcels no force row level security")
    _decompress(table)
    op.execute(f"create table {table}_kept as select * from {table}")
    op.execute(f"drop table {table}")
    create_outbox(table, role=outbox.role, columns=outbox.column_list)
    op.execute(f"alter table {table} no force row level security")
    op.execute(f"""
        insert into {table} (organization_id, message_id, revision, created_at, settled_at, parked_at, parked_reason,
            size, type, topic, message_key, shard, payload, trace_parent, due_at, attempts, {own})
        select m.organization_id, m.message_id, m.revision, m.created_at, m.settled_at, m.parked_at, m.parked_reason,
            m.size, coalesce(p.types[m.place], ''), coalesce(p.topic, ''),
            coalesce(p.message_keys[m.place], m.message_id), coalesce(p.shard, 0), coalesce(payload, ''),
            p.trace_parents[m.place], coalesce(p.due_at, m.created_at), coalesce(p.attempts, 0), {own}
        from {table}_kept m left join {table}_parcels p using (organization_id, parcel_id)
        left join {table}_payloads using (parcel_id, place)
        order by m.parcel_id, m.place
    """)
    op.execute(f"alter table {table} force row level security")
    op.execute(f"drop table {table}_kept")
    op.execute(f"drop table {table}_payloads, {table}_parcels")
    name, columns = outbox.keyed_by
    op.execute(f"create index {name} on {table} ({columns})")


def _scatter_unreceipted() -> None:
    table = _UNRECEIPTED
    _drop_finders(table)
    op.execute(f"alter table {table}_parcels no force row level security")
    _decompress(table)
    create_outbox(table, role=_UNRECEIPTED_ROLE, grants="select, insert, update, delete")
    op.execute(f"alter table {table} no force row level security")
    op.execute(f"""
        insert into {table} (organization_id, message_id, revision, created_at, parked_at, parked_reason, size, type,
            topic, message_key, shard, payload, trace_parent, due_at, attempts)
        select p.organization_id, m.message_id, m.revision, p.created_at,
            case when p.due_at is null then now() end, case when p.due_at is null then 'unknown' end,
            length(payload), m.type, p.topic, m.message_key, p.shard, payload, m.trace_parent,
            coalesce(p.due_at, now()), p.attempts
        from {table}_parcels p
        cross join unnest(p.message_ids, p.revisions, p.types, p.message_keys, p.trace_parents)
            with ordinality as m(message_id, revision, type, message_key, trace_parent, place)
        join {table}_payloads using (parcel_id, place)
        order by p.parcel_id, m.place
    """)
    op.execute(f"alter table {table} force row level security")
    op.execute(f"drop table {table}_payloads, {table}_parcels")
