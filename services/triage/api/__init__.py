"""triage over HTTP: what it knows, what it decided, what a reconciliation asks."""
