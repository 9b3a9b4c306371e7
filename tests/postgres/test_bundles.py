"""Payloads survive their bundles, and the migration into bundles and back."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from shared.postgres import create_engine, rows, transaction
from shared.postgres.bundles import BUNDLE_BYTES_MAX, BUNDLE_PAYLOADS_MAX, bundle, payload_of, split
from shared.postgres.migrate import downgrade, upgrade
from tests.support.database import Database

ORGANIZATIONS = (UUID(int=1), UUID(int=2))
DAY = datetime(2026, 11, 22, tzinfo=UTC)
_COLUMNS = "organization_id, event_id, revision, claim_key, type, payload, charge_amount, denied_amount"
_VALUES = ":organization, :id, 1, :id, 'ClaimDenied', :payload, 1, 1"
TABLES = {
    "triage.events": f"({_COLUMNS}, seen_at) values ({_VALUES}, :at)",
    "tracker.ledger": f"({_COLUMNS}, decision_revision, decision_id, recorded_at) values ({_VALUES}, 1, :id, :at)",
}

_owned = st.lists(
    st.tuples(
        st.sampled_from(ORGANIZATIONS), st.binary(max_size=40) | st.just(b"x" * (BUNDLE_BYTES_MAX // 3))
    ),
    max_size=60,
)


@given(_owned)
def test_every_payload_is_where_its_number_and_place_say(owned: list[tuple[UUID, bytes]]):
    bundled = bundle([organization for organization, _ in owned], [payload for _, payload in owned])

    for (organization, payload), number, place in zip(
        owned, bundled["numbers"], bundled["places"], strict=True
    ):
        contents = bundled["bundles"][number - 1]
        assert payload_of(SimpleNamespace(bundle=contents, place=place)) == payload
        assert bundled["bundle_organizations"][number - 1] == organization
    for contents in bundled["bundles"]:
        inside = split(contents)
        assert 0 < len(inside) <= BUNDLE_PAYLOADS_MAX
        assert len(inside) == 1 or sum(map(len, inside)) <= BUNDLE_BYTES_MAX
    assert len(set(bundled["bundle_ids"])) == len(bundled["bundles"])


@pytest.mark.parametrize("table", TABLES)
async def test_payloads_survive_the_way_into_bundles_and_back(database: Database, table: str):
    role = f"reprieve_{table.split('.', maxsplit=1)[0]}"
    await asyncio.to_thread(downgrade, database.owner, "0015")
    engine = create_engine(database.url(role), name="test")

    async def read(sql: str) -> list[Any]:
        async with transaction(engine, organizations=ORGANIZATIONS) as connection:
            return await rows(connection, sql)

    async with transaction(engine, organizations=ORGANIZATIONS) as connection:
        for number in range(40):
            values = {
                "organization": ORGANIZATIONS[number % 5 == 0],
                "id": UUID(int=number),
                "payload": f'{{"n":{number}}}'.encode() if number else b"",  # the first was purged
                "at": DAY + timedelta(seconds=number % 3),
            }
            await connection.execute(text(f"insert into {table} {TABLES[table]}"), values)
    before = await read(f"select * from {table} order by event_id")

    await asyncio.to_thread(upgrade, database.owner, "head")
    bundled = await read(
        f"select t.event_id, t.place, b.payloads as bundle from {table} t"
        f" join {table}_bundles b using (organization_id, bundle_id) order by t.event_id"
    )
    assert [payload_of(row) for row in bundled] == [row.payload for row in before if row.payload]
    assert len({row.bundle for row in bundled}) == 3  # 32 payloads of one organization, 7 of the other

    await asyncio.to_thread(downgrade, database.owner, "0015")
    after = await read(f"select * from {table} order by event_id")
    assert [by_name(row) for row in after] == [by_name(row) for row in before]
    await engine.dispose()


def by_name(row: Any) -> dict[str, Any]:
    return dict(row._mapping)
