"""tracker: what cases are found by, and no more indexes than the lists use."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# Row-level security lets an index serve a condition only when the comparison cannot leak: those of numeric, and
# upper() and lower(), may. The old indexes on them were kept up with every case and served no query.
GONE = {
    "claim_number": "upper(claim_number)",  # claim_key says the same, and has an index
    "payer_id": "payer_id",
    "payer_name": "lower(payer_name)",
    "amount": "amount_at_stake, case_id",
}
# Bitmaps come from these where a value is rare; where it is frequent, the sort's own index finds a page at once.
# A later column is reached by skipping over the few values of the one before it.
NEW = {
    "amount": "organization_id, stake_cents, case_id",
    "kind": "organization_id, auth_related, state, category, priority, case_id",
    "payer": "organization_id, payer, service_code",
    "provider": "organization_id, facility, rendering_npi",
    "payer_claim": "organization_id, payer_claim_number",
    "member": "organization_id, member_id_index",
    "patient": "organization_id, patient_name_index",
}
_CENTS = "cast(least(greatest(amount_at_stake, -1e16), 1e16) * 100 as bigint)"
_PAYER = "coalesce(payer_id, '') || chr(31) || lower(coalesce(payer_name, ''))"


def upgrade() -> None:
    for name in GONE:
        op.execute(f"drop index tracker.cases_{name}")
    op.execute(f"""
        alter table tracker.cases
            add column facility text collate "C",
            add column rendering_npi text collate "C",
            add column service_code text collate "C",
            add column payer text collate "C" generated always as ({_PAYER}) stored,
            add column stake_cents bigint generated always as ({_CENTS}) stored
    """)
    for column, meaning in {
        "facility": "the NPI of the payee, or its tax id; of the leading decision",
        "rendering_npi": "of the leading decision",
        "service_code": "of the line that denies most; of the leading decision",
        "payer": "id and name as lists compare them",
        "stake_cents": "amount_at_stake as lists compare it",
    }.items():
        op.execute(f"comment on column tracker.cases.{column} is '{meaning}'")
    for name, columns in NEW.items():
        op.execute(f"create index cases_{name} on tracker.cases ({columns})")


def downgrade() -> None:
    for name in NEW:
        op.execute(f"drop index tracker.cases_{name}")
    op.execute(
        "alter table tracker.cases drop column facility, drop column rendering_npi, drop column service_code,"
        " drop column payer, drop column stake_cents"
    )
    for name, columns in GONE.items():
        op.execute(f"create index cases_{name} on tracker.cases (organization_id, {columns})")
