"""
The JSON Schema of a policy file, for editors: completion, hints and mistakes while typing.

`python -m services.triage.policies.schema` writes it beside the policies; with `--check` it changes nothing
and exits 1 when it differs from the code. A file names it in its first line: `#:schema ./policy.schema.json`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from services.triage.domain.conditions import ASKABLE, NO_CLAIM_SUBMITTED
from services.triage.domain.facts import WORDS
from services.triage.domain.policy_file import PolicyFile
from services.triage.policies.words import WORDS_OF_KEYS
from shared.contracts.decision import Category, FactKind

PATH = Path(__file__).parent / "policy.schema.json"

_WORD = "[a-z][a-z0-9_]*"
_CONDITIONS = ("when", "requires", "requires_any", "excludes", "exempt")
_INSTANTS = ("deadline", "earliest", "latest")
_INSTANT = r"^(none|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[+-]\d{2}:\d{2})$"
_DATE_OR_INSTANT = r"^\d{4}-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2})?([+-]\d{2}:\d{2}|Z))?)?$"


def schema() -> dict[str, Any]:
    """Give the schema: the form as msgspec has it, with what a form cannot say, and a sentence per key."""
    (root,), definitions = msgspec.json.schema_components([PolicyFile], ref_template="#/definitions/{name}")
    for name, definition in definitions.items():
        properties = definition["properties"]
        for key, value in properties.items():
            properties[key] = _complete(key, _without_null(value)) | {"description": WORDS_OF_KEYS[name][key]}
    definitions["Example"]["properties"]["facts"] |= _facts()
    definitions["Condition"] = {"type": "string", "pattern": condition_pattern()}
    return {
        # Draft 7 is what editors' TOML plug-ins read.
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": definitions,
        "allOf": [root],
        "title": "Reprieve payer policy",
    }


def _without_null(value: dict[str, Any]) -> dict[str, Any]:
    """TOML knows no null: a key is there or it is not."""
    kept = [one for one in value.get("anyOf", ()) if one != {"type": "null"}]
    if len(kept) == 1:
        return dict(kept[0])
    return {key: one for key, one in value.items() if one is not None} | ({"anyOf": kept} if kept else {})


def _complete(key: str, value: dict[str, Any]) -> dict[str, Any]:
    if key in _CONDITIONS:
        return value | {"items": {"$ref": "#/definitions/Condition"}}
    if key in _INSTANTS:
        return value | {"pattern": _INSTANT}
    # Beside a $ref draft 7 reads nothing else.
    return {"allOf": [value]} if "$ref" in value else value


def condition_pattern() -> str:
    """Give the pattern of a condition: `fact=word`, `fact!=word|word`, several joined by ` and `."""
    words: dict[str, str] = {
        kind: "|".join(sorted(WORDS[kind])) if kind in WORDS else _WORD for kind in ASKABLE
    }
    words["category"] = "|".join(get_args(Category))
    terms = [f"{kind}!?=({word})(\\|({word}))*" for kind, word in sorted(words.items())]
    term = f"({'|'.join((NO_CLAIM_SUBMITTED, *terms))})"
    return f"^{term}( and {term})*$"


def _facts() -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for kind in get_args(FactKind):
        if kind in WORDS:
            kinds[kind] = {"enum": sorted(WORDS[kind])}
        elif re.search(r"(_date|_at|_month)$", kind):
            kinds[kind] = {"type": "string", "pattern": _DATE_OR_INSTANT}
        else:
            kinds[kind] = {"type": "string", "minLength": 1}
    return {"type": "object", "properties": kinds, "additionalProperties": False}


def text() -> str:
    """Give the schema as its file has it."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check, per the command line."""
    if arguments == ["--check"]:
        if PATH.exists() and PATH.read_text() == text():
            return 0
        sys.stderr.write(f"{PATH.name} differs from the code: run `make fix` and commit the result.\n")
        return 1
    PATH.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
