"""triage: policies and their versions, re-evaluations, the audit log."""

from alembic import op

from migrations.walls import build_wall, create_finder

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROLE = "reprieve_triage"
INSTALLATION = "'00000000-0000-0000-0000-000000000000'"
"""The organization that stands for all: what the operator publishes, under what an organization publishes."""


def upgrade() -> None:
    # One row for the installation and one for each organization with policies of its own. Whoever changes what is
    # in force there raises the version, so that everybody else sees by one small row that it changed.
    op.execute("""
        create table triage.policy_sets (
            organization_id uuid primary key,
            version bigint not null default 0,
            changed_at timestamptz not null default now()
        )
    """)
    op.execute("""
        create table triage.policy_versions (
            organization_id uuid not null,
            policy_id text not null,
            number integer not null check (number > 0),
            status text not null check (status in ('reference', 'draft', 'published', 'retired')),
            version text not null,
            name text not null,
            effective_from date,
            effective_to date,
            content bytea not null,
            digest bytea not null check (length(digest) = 32),
            author text not null,
            author_id uuid,
            author_role text not null,
            reason text not null,
            created_at timestamptz not null default now(),
            published_by text,
            published_reason text,
            published_at timestamptz,
            retired_by text,
            retired_reason text,
            retired_at timestamptz,
            primary key (organization_id, policy_id, number)
        )
    """)
    op.execute(
        "create unique index policy_versions_reference on triage.policy_versions (organization_id, policy_id, digest)"
        " where status = 'reference'"
    )
    op.execute(
        "create index policy_versions_published on triage.policy_versions (organization_id, policy_id, number)"
        " where status = 'published'"
    )
    # after_parcel says how far it came: the decisions are read in the order of their parcels, up to until_parcel.
    op.execute("""
        create table triage.reevaluations (
            organization_id uuid not null,
            reevaluation_id uuid not null,
            cause text not null check (cause in ('policy_published', 'policy_retired')),
            policy_id text not null,
            number integer not null,
            version text not null,
            layer text not null check (layer in ('installation', 'organization')),
            reason text not null,
            requested_role text not null,
            requested_at timestamptz not null,
            until_parcel bigint,
            after_parcel bigint not null default 0,
            looked bigint not null default 0,
            changed bigint not null default 0,
            finished_at timestamptz,
            primary key (organization_id, reevaluation_id)
        )
    """)
    op.execute(
        "create index reevaluations_due on triage.reevaluations (requested_at) where finished_at is null"
    )
    op.execute("""
        create table triage.audit_log (
            organization_id uuid not null,
            entry_id bigint generated always as identity,
            at timestamptz not null default now(),
            principal_id uuid not null,
            action text not null,
            subject_id text,
            detail jsonb not null default '{}',
            primary key (organization_id, entry_id)
        )
    """)
    build_wall("triage.policy_sets", role=ROLE)
    build_wall("triage.policy_versions", role=ROLE)
    build_wall("triage.reevaluations", role=ROLE)
    build_wall("triage.audit_log", role=ROLE, grants="select, insert")
    # What the installation published is in force everywhere, so everybody may read it, and nobody write it.
    op.execute(
        "create policy installation on triage.policy_sets for select"
        f" to {ROLE} using (organization_id = {INSTALLATION})"
    )
    op.execute(
        "create policy installation on triage.policy_versions for select"
        f" to {ROLE} using (organization_id = {INSTALLATION} and status <> 'draft')"
    )
    create_finder(
        "triage.due_reevaluations(p_limit integer)",
        role=ROLE,
        reads=["triage.reevaluations (organization_id, reevaluation_id, requested_at, finished_at)"],
        returns="table (organization_id uuid, reevaluation_id uuid)",
        body="""
            select organization_id, reevaluation_id from triage.reevaluations
            where finished_at is null order by requested_at, organization_id, reevaluation_id limit p_limit
        """,
    )


def downgrade() -> None:
    op.execute("drop function triage.due_reevaluations(integer)")
    op.execute(
        "drop table triage.audit_log, triage.reevaluations, triage.policy_versions, triage.policy_sets"
    )
