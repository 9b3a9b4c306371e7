"""Kafka: outbox tables, relays, consumers, settlement. Nothing here knows what an event means."""

import logging

# Its debug lines print keys and values, and values carry patients.
logging.getLogger("aiokafka").setLevel(logging.INFO)
