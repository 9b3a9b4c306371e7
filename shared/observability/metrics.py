"""
Every metric of every process, each with a sentence.

Labels come from small fixed sets (a service, a table, a state, a route's template). Never an organization,
an id, a payer or a person: a label is not behind any wall. Feeds are the exception: an alert that does not
say which one fell silent helps nobody, and the operator, who alone reads metrics, lists them anyway.
"""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

# HTTP
REQUESTS = Counter("reprieve_http_requests", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "reprieve_http_request_seconds",
    "Time from a request's head to its answer's end.",
    ["route"],
    buckets=_SECONDS,
)
AUTHENTICATION_FAILURES = Counter("reprieve_authentication_failures", "Requests without a valid API key.")

# Loops
LOOP_SILENCE_SECONDS = Gauge("reprieve_loop_silence_seconds", "Time since a loop's last beat.", ["loop"])

# Ingest
RECEIPTS = Counter("reprieve_receipts", "Files taken in, by what became of them.", ["outcome"])
RECEIVED_BYTES = Counter("reprieve_received_bytes", "Bytes of files taken in.")
CLAIMS_READ = Counter(
    "reprieve_claims_read", "Claims read from remittances, by what became of them.", ["outcome"]
)
PARSE_SECONDS = Histogram(
    "reprieve_parse_seconds", "Time to read one file, from raw bytes to released events.", buckets=_SECONDS
)
ACKNOWLEDGMENTS = Counter(
    "reprieve_acknowledgments", "Files acknowledged to their senders, or given up.", ["outcome"]
)
FILES_WAITING = Gauge("reprieve_files_waiting", "Files taken in and not read yet.")
HELD_TRANSACTION_SETS = Gauge(
    "reprieve_held_transaction_sets", "Transaction sets whose payee nobody registered."
)
TRUNCATED_SETS = Counter(
    "reprieve_truncated_sets", "Transaction sets read that ended too early; `reprieve reconcile` has which."
)
QUARANTINED_CLAIMS = Gauge(
    "reprieve_quarantined_claims", "Claims that could not be read and wait; GET /v1/quarantine has which."
)
DROPPED_FILES = Counter(
    "reprieve_dropped_files", "Files taken from drop folders, by what became of them.", ["outcome"]
)
DROPPED_FILES_WAITING = Gauge(
    "reprieve_dropped_files_waiting", "Files in the inbound/ and processing/ of this worker's drop folders."
)
DROP_FOLDER_FAILURES = Counter(
    "reprieve_drop_folder_failures", "Looks into a drop folder that failed; the log has which."
)

FEED_SILENCE_SECONDS = Gauge(
    "reprieve_feed_silence_seconds", "Time since a feed's last file.", ["submitter_id", "feed"]
)
FEED_SILENT = Gauge(
    "reprieve_feed_silent",
    "1 when a feed's last file is longer ago than its cadence allows, else 0.",
    ["submitter_id", "feed"],
)
SFTP_FILES = Counter(
    "reprieve_sftp_files", "Files seen on SFTP servers, by what became of them.", ["outcome"]
)
SFTP_FAILURES = Counter(
    "reprieve_sftp_failures", "Fetches from SFTP servers that failed; GET /v1/feeds has which.", ["code"]
)

# Outboxes, relays, settlement
MESSAGES_SENT = Counter("reprieve_messages_sent", "Messages that the broker acknowledged.", ["table"])
MESSAGES_SETTLED = Counter(
    "reprieve_messages_settled", "Messages whose receipt came back.", ["table", "outcome"]
)
OUTBOX_MESSAGES = Gauge("reprieve_outbox_messages", "Messages not settled yet, by state.", ["table", "state"])
OUTBOX_OLDEST_SECONDS = Gauge(
    "reprieve_outbox_oldest_seconds", "Age of the oldest unsettled message.", ["table"]
)
RELAY_FAILURES = Counter("reprieve_relay_failures", "Messages that the broker did not take.", ["table"])

# Consumers
RECORDS_HANDLED = Counter("reprieve_records_handled", "Records handled and committed.", ["group", "topic"])
RECORDS_DEAD = Counter("reprieve_records_dead", "Records sent to a dead letter topic.", ["group", "topic"])
BATCH_SECONDS = Histogram("reprieve_batch_seconds", "Time to handle one batch.", ["group"], buckets=_SECONDS)
BATCH_RETRIES = Counter(
    "reprieve_batch_retries", "Batches repeated because a part did not answer.", ["group"]
)
CONSUMER_LAG = Gauge(
    "reprieve_consumer_lag", "Records between the group and the topic's end.", ["group", "topic"]
)

# Triage
DECISIONS = Counter("reprieve_decisions", "Decisions made, by category.", ["category"])
UNKNOWN_CODES = Counter(
    "reprieve_unknown_codes", "Denials with a code that no published list has; the log has which.", ["list"]
)
REDECISIONS_FAILED = Counter(
    "reprieve_redecisions_failed", "Earlier denials that could not be decided again; the log has which."
)
DECIDE_SECONDS = Histogram(
    "reprieve_decide_seconds",
    "Time to decide an event, the mean of its batch.",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1),
)

# Tracker
LEDGER_ROWS = Counter(
    "reprieve_ledger_rows", "Decisions written to the ledger; repeats change nothing.", ["outcome"]
)
CASES_CHANGED = Counter("reprieve_cases_changed", "Cases opened, changed and closed.", ["change"])
PERSONS_OPENED = Counter(
    "reprieve_persons_opened", "Sealed persons opened for a reader; each one is audited."
)

# Alerts
ALERT_LOOKS_FAILED = Counter(
    "reprieve_alert_looks_failed", "Looks at an organization, or at one of its rules, that failed."
)
ALERTS_LOOKED_AT = Gauge(
    "reprieve_alerts_looked_at_seconds", "When every organization was looked at last, in seconds since 1970."
)
ALERT_LOOK_SECONDS = Histogram(
    "reprieve_alert_look_seconds", "Time to look at one organization.", buckets=_SECONDS
)
ALERTS_JUDGED = Counter("reprieve_alerts_judged", "Cases judged by a rule.")
ALERTS_OPENED = Counter("reprieve_alerts_opened", "Alerts opened, by kind of rule.", ["kind", "severity"])
ALERTS_RESOLVED = Counter("reprieve_alerts_resolved", "Alerts resolved.")
DELIVERY_ATTEMPTS = Counter(
    "reprieve_delivery_attempts",
    "Attempts to deliver a notification, by what came of it.",
    ["kind", "outcome"],
)
NOTIFICATIONS_WAITING = Gauge("reprieve_notifications_waiting", "Notifications not delivered yet.")
NOTIFICATION_OLDEST_SECONDS = Gauge(
    "reprieve_notification_oldest_seconds", "How long the oldest undelivered notification has been due."
)
CHANNELS_FAILING = Gauge("reprieve_channels_failing", "Active alert channels whose last attempt failed.")
CHANNELS_PAUSED = Gauge(
    "reprieve_channels_paused",
    "Active alert channels whose circuit is open: nothing is tried before a while.",
)
CHANNELS_DISABLED = Gauge("reprieve_channels_disabled", "Alert channels that are disabled.")
