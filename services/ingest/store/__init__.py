"""What ingest keeps: sealed raw files in the vault, and its rows in PostgreSQL."""
