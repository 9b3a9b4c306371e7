"""The descriptions of the three APIs, as generators of clients read them. What they promise is asked in tests/embedded."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest

from shared.http.descriptions import examples_of, json_answer, lift_components, put_nulls_back
from tests.http.test_doors import Services, services  # noqa: F401  the fixture of the three APIs

SERVICES = ("ingest", "triage", "tracker")
METHODS = {"get", "put", "post", "patch", "delete"}


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in item.keys() & METHODS:
            yield f"{method.upper()} {path}", item[method]


@pytest.fixture(params=SERVICES)
def described(services: Services, request: pytest.FixtureRequest) -> dict[str, Any]:  # noqa: F811
    return services.apps[request.param].openapi()


async def test_each_schema_has_a_name_and_a_title_of_its_own_that_can_name_a_class(described):
    schemas = described["components"]["schemas"]
    titles = Counter(one.get("title", name) for name, one in schemas.items())

    assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)] == []
    assert [title for title, count in titles.items() if count > 1] == []


async def test_each_operation_has_a_name_of_its_own_that_can_name_a_function(described):
    names = Counter(one["operationId"] for _, one in operations(described))

    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    assert names.most_common(1)[0][1] == 1


async def test_each_body_and_each_failure_has_a_schema(described):
    without = [
        f"{name} {status} {media_type}"
        for name, one in operations(described)
        for status, told in [("request", one.get("requestBody", {})), *one["responses"].items()]
        for media_type, content in told.get("content", {}).items()
        if not content.get("schema")
    ]
    failures = [
        f"{name} {status}"
        for name, one in operations(described)
        for status, told in one["responses"].items()
        if status[0] in "45d"
        and "application/problem+json" not in told.get("content", {})
        and name not in ("GET /livez", "GET /readyz")
    ]

    assert (without, failures) == ([], [])


async def test_each_answer_names_its_members(described):
    schemas = described["components"]["schemas"]
    bare = [
        f"{name} {status}"
        for name, one in operations(described)
        for status, told in one["responses"].items()
        for media_type, content in told.get("content", {}).items()
        if media_type.endswith("json")
        and content["schema"].get("type") == "object"
        and "properties" not in content["schema"]
    ]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))

    assert (bare, named - schemas.keys()) == ([], set())


REPEATABLE_BY_NATURE = {
    "POST /v1/cases/search",
    "POST /v1/alerts/rules/preview",
    "PUT /v1/alerts/reconciliation",
    "POST /v1/parked/replay",
    "POST /v1/reconciliation/repair",
}
"""They read, or set what they set however often."""


async def test_each_write_of_the_tracker_takes_an_idempotency_key(services: Services):  # noqa: F811
    without = {
        name
        for name, one in operations(services.apps["tracker"].openapi())
        if not name.startswith("GET ")
        and "Idempotency-Key" not in {told["name"] for told in one.get("parameters", ())}
    }

    assert without == REPEATABLE_BY_NATURE


async def test_each_example_is_as_its_schema_says(described):
    found = list(examples_of(described))
    schemas = {"components": described["components"]}
    wrong = [
        f"{error.json_path}: {error.message}"
        for example, schema in found
        for error in jsonschema.Draft202012Validator({**schemas, **schema}).iter_errors(example)
    ]

    assert wrong == []


async def test_the_examples_of_cases_are_among_them(services: Services):  # noqa: F811
    assert len(list(examples_of(services.apps["tracker"].openapi()))) > 5


def test_two_answers_of_one_name_that_differ_are_a_defect():
    class Told(msgspec.Struct):
        one: int

    first = {"paths": {"/x": {"get": {"responses": {"200": json_answer(Told), "201": json_answer(Told)}}}}}
    assert lift_components(first)["components"]["schemas"]["Told"]["required"] == ["one"]
    assert first["paths"]["/x"]["get"]["responses"]["200"].keys() == {"content"}

    class Told(msgspec.Struct):
        two: int

    second = {"paths": {"/y": {"get": {"responses": {"200": json_answer(Told)}}}}}
    with pytest.raises(ValueError, match="Told"):
        lift_components({**second, "components": first["components"]})


def test_a_null_comes_back_where_it_is_required_and_nowhere_else():
    schema = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {}, "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "c": {}},
    }
    told = {"content": {"application/json": {"example": [{"a": 1}], "schema": {"items": {"$ref": "#/x/Y"}}}}}
    description = {
        "paths": {"/x": {"get": {"responses": {"200": told}}}},
        "components": {"schemas": {"Y": schema}},
    }

    put_nulls_back(description)

    assert told["content"]["application/json"]["example"] == [{"a": 1, "b": None}]
