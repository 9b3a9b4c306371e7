"""triage and tracker: payloads that are kept lie in bundles, several under one compression."""

from typing import NamedTuple

import msgspec
from alembic import op
from sqlalchemy import text
from zstandard import ZstdCompressor, ZstdDecompressor

from migrations.walls import build_wall

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


class _Kept(NamedTuple):
    """A table that keeps payloads, and since when a row of it is there."""

    table: str
    role: str
    written_at: str


_TABLES = (
    _Kept("triage.events", "reprieve_triage", "seen_at"),
    _Kept("tracker.ledger", "reprieve_tracker", "recorded_at"),
)
_BUNDLE_PAYLOADS = 16
_PAGE_BUNDLES = 100


def upgrade() -> None:
    # What a purge asks of payloads, for which it would have to unpack them.
    op.execute("alter table tracker.ledger no force row level security")
    op.execute("alter table tracker.ledger add received_on date, add size integer not null default 0")
    op.execute("""
        update tracker.ledger set size = octet_length(payload),
            received_on = cast(cast(convert_from(payload, 'UTF8') as json) ->> 'received_on' as date)
        where octet_length(payload) > 0
    """)
    for kept in _TABLES:
        table = kept.table
        op.execute(f"""
            create table {table}_bundles (
                organization_id uuid not null,
                bundle_id uuid not null,
                payloads bytea not null,
                primary key (organization_id, bundle_id)
            )
        """)
        op.execute(f"alter table {table}_bundles alter column payloads set storage external")
        # Forced row-level security would hide the rows from the owner too.
        op.execute(f"alter table {table} no force row level security")
        op.execute(f"alter table {table} add bundle_id uuid, add place smallint, add bundle_number bigint")
        _number(kept)
        _gather(table)
        op.execute(f"update {table} set place = 0 where place is null")
        op.execute(f"alter table {table} alter place set not null, drop bundle_number, drop payload")
        op.execute(f"comment on column {table}.bundle_id is 'null: the payload was purged'")
        op.execute(f"alter table {table} force row level security")
        build_wall(f"{table}_bundles", role=kept.role, grants="select, insert, update, delete")
    op.execute("grant update (bundle_id) on tracker.ledger to reprieve_tracker")


def _number(kept: _Kept) -> None:
    """Tell each row its place, and the number of its bundle: one organization's rows in their order."""
    op.execute(f"""
        update {kept.table} t set bundle_number = numbered.number, place = numbered.place
        from (
            select version, (line - 1) % {_BUNDLE_PAYLOADS} + 1 as place,
                dense_rank() over (order by organization_id, (line - 1) / {_BUNDLE_PAYLOADS}) as number
            from (
                select ctid as version, organization_id,
                    row_number() over (partition by organization_id order by {kept.written_at}, event_id) as line
                from {kept.table} where octet_length(payload) > 0
            ) as lines
        ) as numbered
        where t.ctid = numbered.version
    """)
    op.execute(f"create index bundle_number on {kept.table} (bundle_number)")


def _gather(table: str) -> None:
    """Write the bundles, which SQL cannot compress."""
    connection = op.get_bind()
    page = text(f"""
        select bundle_number as number, organization_id, gen_random_uuid() as bundle_id,
            array_agg(payload order by place) as payloads
        from {table} where bundle_number > :after and bundle_number <= :after + {_PAGE_BUNDLES}
        group by 1, 2 order by 1
    """)
    write = text(f"insert into {table}_bundles values (:organization_id, :bundle_id, :payloads)")
    point = text(f"update {table} set bundle_id = :bundle_id where bundle_number = :number")
    after = 0
    while found := connection.execute(page, {"after": after}).all():
        bundles = [
            {
                "number": row.number,
                "organization_id": row.organization_id,
                "bundle_id": row.bundle_id,
                "payloads": ZstdCompressor(level=1).compress(msgspec.msgpack.encode(row.payloads)),
            }
            for row in found
        ]
        connection.execute(write, bundles)
        connection.execute(point, bundles)
        after += _PAGE_BUNDLES


def downgrade() -> None:
    for kept in _TABLES:
        table = kept.table
        for one in (table, f"{table}_bundles"):
            op.execute(f"alter table {one} no force row level security")
        op.execute(f"alter table {table} add payload bytea")
        op.execute(f"create index by_bundle on {table} (organization_id, bundle_id, place)")
        _scatter(table)
        op.execute(f"drop index {table.split('.')[0]}.by_bundle")
        op.execute(f"update {table} set payload = '' where bundle_id is null")
        op.execute(f"alter table {table} alter payload set not null, drop bundle_id, drop place")
        op.execute(f"drop table {table}_bundles")
        op.execute(f"alter table {table} force row level security")
    op.execute("grant update (payload) on tracker.ledger to reprieve_tracker")
    op.execute("alter table tracker.ledger drop received_on, drop size")


def _scatter(table: str) -> None:
    """Give every row its payload again."""
    connection = op.get_bind()
    page = text(f"""
        select organization_id, bundle_id, payloads from {table}_bundles
        where (organization_id, bundle_id) > (:organization_id, :bundle_id)
        order by organization_id, bundle_id limit {_PAGE_BUNDLES}
    """)
    fill = text(f"""
        update {table} set payload = :payload
        where organization_id = :organization_id and bundle_id = :bundle_id and place = :place
    """)
    nobody = "00000000-0000-0000-0000-000000000000"
    after = {"organization_id": nobody, "bundle_id": nobody}
    while found := connection.execute(page, after).all():
        for row in found:
            payloads = msgspec.msgpack.decode(ZstdDecompressor().decompress(row.payloads), type=list[bytes])
            after = {"organization_id": row.organization_id, "bundle_id": row.bundle_id}
            connection.execute(
                fill,
                [{**after, "place": place, "payload": payload} for place, payload in enumerate(payloads, 1)],
            )
