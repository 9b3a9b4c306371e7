"""The doors of ingest over HTTP."""
