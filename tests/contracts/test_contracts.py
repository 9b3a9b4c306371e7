"""The contracts agree with their examples, their schemas and their own naming rules."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from shared.contracts import generate
from shared.contracts.base import Event, encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.topics import EVENT_TYPES, TOPICS

EXAMPLES = Path(generate.__file__).parent / "examples"


def example(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_an_example_survives_reading_and_writing_without_losing_a_field(name: str):
    event = msgspec.json.decode(example(name), type=EVENT_TYPES[name])

    assert json.loads(encode(event)) == json.loads(example(name))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_an_example_fits_its_published_schema(name: str):
    schema = json.loads((generate.SCHEMAS / f"{name}.json").read_text())

    jsonschema.validate(json.loads(example(name)), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_consumer_ignores_fields_that_it_does_not_know(name: str):
    newer = json.loads(example(name)) | {"field_of_a_later_release": {"anything": 1}}

    event = msgspec.json.decode(json.dumps(newer), type=EVENT_TYPES[name])

    assert json.loads(encode(event)) == json.loads(example(name))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_schema_refuses_an_event_that_lacks_a_required_field(name: str):
    schema = json.loads((generate.SCHEMAS / f"{name}.json").read_text())
    incomplete = json.loads(example(name))
    del incomplete["organization_id"]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(incomplete, schema, jsonschema.Draft202012Validator)


def test_every_event_has_an_example_and_every_example_an_event():
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(EVENT_TYPES)


def test_the_published_documents_are_those_of_the_code():
    assert generate.drift() == []


def test_a_changed_contract_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(generate, "SCHEMAS", tmp_path / "schemas")
    monkeypatch.setattr(generate, "ASYNCAPI", tmp_path / "asyncapi.json")
    generate.main([])
    assert generate.drift() == []
    (generate.SCHEMAS / "ClaimDenied.json").write_text("{}")
    (generate.SCHEMAS / "Forgotten.json").write_text("{}")

    assert generate.drift() == ["ClaimDenied.json", "Forgotten.json"]


def test_topic_names_have_no_dot_and_are_kept_for_a_known_time():
    for topic in TOPICS:
        assert "." not in topic.name
        assert topic.kept_days in {14, 30}
        assert topic.dead_letters() == tuple(f"{topic.name}-{group}-dlq" for group in topic.consumers)
        assert all(cls.topic == topic.name for cls in topic.types)


def test_money_is_written_as_a_string_with_its_cents():
    event = msgspec.json.decode(example("ClaimDenied"), type=ClaimDenied)

    assert json.loads(encode(event))["charge_amount"] == "1250.00"


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_the_repr_of_an_event_shows_ids_only(name: str):
    event: Event = msgspec.json.decode(example(name), type=EVENT_TYPES[name])

    assert repr(event) == f"<{name} {event.message_id}:{event.message_revision}>"


def test_case_events_carry_no_claim_number_and_no_person():
    forbidden = {
        "claim_number",
        "payer_claim_number",
        "patient",
        "subscriber",
        "member_id_index",
        "name_index",
    }
    for cls in next(topic for topic in TOPICS if topic.name == "case-events").types:
        assert forbidden.isdisjoint(cls.__struct_fields__)
