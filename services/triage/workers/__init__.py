"""What triage does with batches of messages."""
