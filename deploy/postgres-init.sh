#!/bin/sh
# Runs once, when the database folder is empty: the role that owns the tables, and its database.
# The services' own roles are made by the migration, which gives them their passwords.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --set password="$REPRIEVE_OWNER_PASSWORD" <<'SQL'
create role reprieve_owner login createrole password :'password';
create database reprieve owner reprieve_owner;
SQL
