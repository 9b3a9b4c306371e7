"""The schema that editors use says what the reader of policy files says."""

import json
import tomllib
from datetime import date

import jsonschema
import pytest

from services.triage.domain.conditions import parse_condition
from services.triage.policies import SHIPPED, schema, texts_in

SCHEMA = schema.schema()
FILES = texts_in(SHIPPED)


def as_editors_see(text):
    """TOML dates are strings to a JSON Schema."""
    return json.loads(json.dumps(tomllib.loads(text.decode()), default=date.isoformat))


def faults(table):
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(table)]


def test_the_schema_is_the_one_that_the_code_makes():
    assert schema.main(["--check"]) == 0


def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_policy_names_the_schema_and_keeps_to_it(name):
    assert FILES[name].startswith(b"#:schema ./policy.schema.json\n")
    assert faults(as_editors_see(FILES[name])) == []


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (("colour",), "red"),
        (("status",), "maybe"),
        (("clocks", 0, "unit"), "fortnights"),
        (("clocks", 0, "amount"), -1),
        (("clocks", 0, "cut_of"), "17:00"),
        (("clocks", 0, "when"), ["moon=full"]),
        (("clocks", 0, "when"), ["urgency=soon"]),
        (("clocks", 0, "when"), ["urgency=urgent and"]),
        (("clocks", 0, "late"), [{"cost": "shame"}]),
        (("examples", 0, "facts"), {"urgency": "soon"}),
        (("examples", 0, "clocks", 0, "deadline"), "tomorrow"),
        (("examples", 0, "denial", "payer_date"), 20260320),
    ],
)
def test_an_editor_is_told_what_the_reader_would_refuse(at, wrong):
    table = as_editors_see(FILES["aetna.toml"])
    place = table
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = wrong

    assert faults(table)


@pytest.mark.parametrize(
    "condition",
    [
        "urgency=urgent|emergency",
        "network_status!=in",
        "no_claim_submitted",
        "service_category=nemt",
        "category=authorization_denied",
        "line_of_business=medicare_advantage and service_category=post_acute",
    ],
)
def test_a_condition_that_the_reader_takes_is_none_that_an_editor_marks(condition):
    parse_condition(condition)
    table = as_editors_see(FILES["aetna.toml"])
    table["clocks"][0]["when"] = [condition]

    assert faults(table) == []


def test_every_key_has_a_sentence():
    for definition in SCHEMA["definitions"].values():
        for value in definition.get("properties", {}).values():
            assert value["description"]
