"""
Writes what others read of the contracts: a JSON Schema per event and one AsyncAPI document.

`python -m shared.contracts.generate` writes them beside this file; with `--check` it changes nothing and
exits 1 when they differ from the code.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from shared.contracts.topics import DEAD_LETTER_DAYS, EVENT_TYPES, TOPICS, Topic

HERE = Path(__file__).parent
SCHEMAS = HERE / "schemas"
ASYNCAPI = HERE / "asyncapi.json"

CLOUDEVENTS_HEADERS = {
    "type": "object",
    "required": [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_organizationid",
        "content-type",
    ],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "description": "<message id>:<revision>; a repetition carries the same."},
        "ce_type": {"type": "string", "enum": sorted(EVENT_TYPES)},
        "ce_source": {"type": "string", "description": "reprieve/<service>"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_organizationid": {"type": "string", "format": "uuid"},
        "content-type": {"const": "application/json"},
        "traceparent": {"type": "string"},
    },
}


def schema_of(name: str) -> dict[str, Any]:
    """Give the JSON Schema of one event type, complete in itself."""
    schema = msgspec.json.schema(EVENT_TYPES[name])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **schema}


def asyncapi() -> dict[str, Any]:
    """Describe every topic and who writes and reads it, in AsyncAPI 3."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Reprieve events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in Kafka binary mode, JSON values, money as decimal strings.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {
            operation: _operation(topic, operation)
            for topic in TOPICS
            for operation in (
                *(f"{service}-sends-{topic.name}" for service in topic.producers),
                *(f"{group}-receives-{topic.name}" for group in topic.consumers),
            )
        },
        "components": {"schemas": {"CloudEventsHeaders": CLOUDEVENTS_HEADERS}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.purpose,
        "messages": {
            cls.__name__: {
                "contentType": "application/json",
                "headers": {"$ref": "#/components/schemas/CloudEventsHeaders"},
                "payload": {"$ref": f"schemas/{cls.__name__}.json"},
            }
            for cls in topic.types
        },
        "x-key": topic.key,
        "x-kept-days": topic.kept_days,
        "x-dead-letter-topics": {name: {"x-kept-days": DEAD_LETTER_DAYS} for name in topic.dead_letters()},
    }


def _operation(topic: Topic, name: str) -> dict[str, Any]:
    return {
        "action": "send" if "-sends-" in name else "receive",
        "channel": {"$ref": f"#/channels/{topic.name}"},
    }


def documents() -> dict[Path, str]:
    """Give every generated file with its text."""
    texts = {SCHEMAS / f"{name}.json": schema_of(name) for name in EVENT_TYPES}
    texts[ASYNCAPI] = asyncapi()
    return {path: json.dumps(text, indent=2, sort_keys=True) + "\n" for path, text in texts.items()}


def drift() -> list[str]:
    """Name the generated files that differ from the code, are missing, or belong to no event."""
    wanted = documents()
    stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    orphans = [path.name for path in SCHEMAS.glob("*.json") if path not in wanted]
    return sorted(stale + orphans)


def main(arguments: list[str]) -> int:
    """Write or check, per the command line."""
    if arguments == ["--check"]:
        for name in drift():
            sys.stderr.write(
                f"{name} differs from the contracts: run `make contracts` and commit the result.\n"
            )
        return 1 if drift() else 0
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in documents().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
