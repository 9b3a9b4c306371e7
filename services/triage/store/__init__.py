"""triage's tables: the events and facts that it has seen, and its decisions. Callers hold the transaction."""
