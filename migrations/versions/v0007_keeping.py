"""ingest: where raw files are kept, the drop folder, key rotation and purging."""

from alembic import op

from migrations.walls import build_wall

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROLE = "reprieve_ingest"

KEY_READERS = "reprieve_ingest, reprieve_tracker"


def upgrade() -> None:
    op.execute("""
        create table access.master_key_check (
            only_one boolean primary key default true check (only_one),
            wrapped_check bytea not null,
            set_at timestamptz not null default now()
        )
    """)
    op.execute("""
        create table access.operations_log (
            position bigint generated always as identity primary key,
            at timestamptz not null default now(),
            done_by text not null default session_user,
            action text not null,
            detail jsonb not null
        )
    """)
    op.execute("comment on table access.operations_log is 'what operators did to keys and kept files'")
    op.execute("""
        create function access.master_key_check()
        returns bytea language sql stable security definer set search_path = access, pg_temp as $$
            select wrapped_check from master_key_check
        $$
    """)
    op.execute("""
        create function access.keep_master_key_check(p_wrapped bytea)
        returns bytea language plpgsql volatile security definer set search_path = access, pg_temp as $$
        begin
            insert into master_key_check (wrapped_check) values (p_wrapped) on conflict do nothing;
            return (select wrapped_check from master_key_check);
        end $$
    """)
    for function in ("access.master_key_check()", "access.keep_master_key_check(bytea)"):
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to {KEY_READERS}")
    op.execute("""
        create function access.submitters_of_installation()
        returns table (submitter_id uuid, name text)
        language sql stable security definer set search_path = access, pg_temp as $$
            select submitter_id, name from submitters order by name
        $$
    """)
    op.execute("revoke all on function access.submitters_of_installation() from public")
    op.execute(f"grant execute on function access.submitters_of_installation() to {ROLE}")
    op.execute("alter table ingest.feeds add column needs_marker boolean not null default false")
    op.execute(
        "comment on column ingest.feeds.needs_marker is"
        " 'a dropped file is complete only when its .complete or .done stands beside it'"
    )
    op.execute("""
        create table ingest.sftp_pulls (
            submitter_id uuid not null,
            feed text not null,
            host text not null,
            port integer not null check (port between 1 and 65535),
            user_name text not null,
            host_key text not null,
            folder text not null,
            pattern text not null,
            afterwards text not null check (afterwards in ('move', 'delete', 'keep')),
            done_folder text not null,
            poll_seconds integer not null check (poll_seconds between 1 and 86400),
            secret_kind text not null check (secret_kind in ('password', 'key')),
            wrapped_secret bytea not null,
            changed_at timestamptz not null default now(),
            pulled_at timestamptz,
            failing_since timestamptz,
            failure text,
            primary key (submitter_id, feed),
            foreign key (submitter_id, feed) references ingest.feeds
        )
    """)
    # A fingerprint is the hash of name, size and time: names belong to the sender and may tell too much.
    op.execute("""
        create table ingest.sftp_pulled (
            submitter_id uuid not null,
            feed text not null,
            fingerprint bytea not null check (length(fingerprint) = 32),
            pulled_at timestamptz not null default now(),
            primary key (submitter_id, feed, fingerprint),
            foreign key (submitter_id, feed) references ingest.feeds
        )
    """)
    op.execute("""
        alter table access.organizations
            add column retention_days integer check (retention_days between 31 and 36500)
    """)
    op.execute("""
        alter table ingest.receipts add column shredded_at timestamptz, add column removed_at timestamptz
    """)
    op.execute(
        "comment on column ingest.receipts.shredded_at is"
        " 'its key was destroyed; removed_at: and the sealed file taken away'"
    )
    build_wall("ingest.sftp_pulls", role=ROLE, by="submitter", grants="select, insert, update, delete")
    build_wall("ingest.sftp_pulled", role=ROLE, by="submitter", grants="select, insert, update, delete")


def downgrade() -> None:
    op.execute("alter table ingest.receipts drop column shredded_at, drop column removed_at")
    op.execute("alter table access.organizations drop column retention_days")
    op.execute("drop table ingest.sftp_pulled, ingest.sftp_pulls")
    op.execute("alter table ingest.feeds drop column needs_marker")
    op.execute("drop function access.submitters_of_installation()")
    op.execute("drop function access.keep_master_key_check(bytea)")
    op.execute("drop function access.master_key_check()")
    op.execute("drop table access.operations_log, access.master_key_check")
