"""
What an OpenAPI description needs besides what FastAPI knows.

FastAPI cannot see into an answer that a route encodes by itself, and leaves nulls out of examples, which then
lack members that are required.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

SCHEMA_NAME = "#/components/schemas/{name}"
_COMPONENTS = "x-components"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


def json_answer(answer: Any, *named: Any) -> dict[str, Any]:
    """
    Describe an answer that msgspec encodes by its type; `named` are types that it refers to by name only.

    The schemas behind it go along, until `lift_components` puts them where they belong.
    """
    schemas, components = msgspec.json.schema_components([answer, *named], ref_template=SCHEMA_NAME)
    for one in components.values():
        one.pop("additionalProperties", None)  # strict for who writes a file; an answer may grow
    return {"content": {"application/json": {"schema": schemas[0]}}, _COMPONENTS: components}


def lift_components(described: dict[str, Any]) -> dict[str, Any]:
    """Put the schemas that answers brought along to those of FastAPI. Two of one name are a defect."""
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for item in described["paths"].values():
        for operation in (item[method] for method in item.keys() & _METHODS):
            for told in operation["responses"].values():
                for name, schema in told.pop(_COMPONENTS, {}).items():
                    if schemas.setdefault(name, schema) != schema:
                        raise ValueError(f"two schemas have the name {name}")
    return described


def put_nulls_back(described: dict[str, Any]) -> dict[str, Any]:
    """Give every object of an example in an OpenAPI description the members that its schema requires."""
    schemas = described.get("components", {}).get("schemas", {})
    for example, schema in examples_of(described):
        _complete(example, schema, schemas)
    return described


def examples_of(described: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Give the examples of requests and answers, each with its schema."""
    for item in described["paths"].values():
        for operation in (item[method] for method in item.keys() & _METHODS):
            for told in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in told.get("content", {}).values():
                    named = [one["value"] for one in content.get("examples", {}).values()]
                    for example in ([content["example"]] if "example" in content else []) + named:
                        yield example, content["schema"]


def _complete(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    for one in _meant(schema, schemas):
        if isinstance(value, list):
            for item in value:
                _complete(item, one.get("items", {}), schemas)
        elif isinstance(value, dict) and "properties" in one:
            for name, member in one["properties"].items():
                if name in value:
                    _complete(value[name], member, schemas)
                elif name in one.get("required", ()):
                    value[name] = None


def _meant(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give the schemas behind a name or a choice with null; a choice of objects is left alone."""
    if "$ref" in schema:
        yield from _meant(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    elif "anyOf" in schema:
        given = [one for one in schema["anyOf"] if one.get("type") != "null"]
        if len(given) == 1:
            yield from _meant(given[0], schemas)
    else:
        yield schema
