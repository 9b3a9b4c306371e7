"""
What the three services promise in /openapi.json is what they do, and enough to make a client from.

Schemathesis asks every route with what the description allows and forbids, and holds each answer against it.
The same cases come in every run; `make fuzz` asks more of them (HYPOTHESIS_PROFILE=fuzz).
"""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.support.stack import Up, machine_folder

pytestmark = pytest.mark.slow

SERVICES = ("ingest", "triage", "tracker")
KEYS = {"ingest": "submitter", "triage": "admin", "tracker": "admin"}
METHODS = {"get", "put", "post", "patch", "delete"}
ENDLESS = {"/v1/events/stream"}
EXAMPLES = 200 if settings.get_current_profile_name() == "fuzz" else 8
UNHELPFUL = [
    positive_data_acceptance,  # a schema cannot say that a cursor is ours or that a policy makes sense
    ignored_auth,  # asked below, of every route
]
load_all_checks()


@pytest.fixture(scope="module")
def demo() -> Iterator[Up]:
    with machine_folder() as folder:
        up = Up(folder, "--demo")
        try:
            up.wait_until_ready()
            up.wait_for_line("Ctrl-C")
            yield up
        finally:
            up.end()


def key(up: Up, role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {up.up_file['keys'][role]}"}


def description(up: Up, service: str) -> dict[str, Any]:
    url = up.up_file[f"{service}_url"]
    answer = httpx2.get(f"{url}/openapi.json", headers=key(up, "viewer"), timeout=30)
    return answer.raise_for_status().json()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_described_well_enough_to_make_a_client(demo: Up, service: str) -> None:
    found = dict(operations(description(demo, service)))
    ids = [one["operationId"] for one in found.values()]
    assert len(set(ids)) == len(ids)
    missing = [
        f"{name}: {what}"
        for name, one in found.items()
        for what, there in {
            "a summary": one.get("summary"),
            "a description": one.get("description"),
            "a tag": one.get("tags"),
            "its failures": one["responses"].get("default"),
            "a success": any(status.startswith("2") for status in one["responses"]),
            "failures in one form": "application/problem+json" in one["responses"]["422"]["content"],
            **{
                f"the description of {parameter['name']}": parameter.get("description")
                for parameter in one.get("parameters", ())
                if parameter["in"] == "query"
            },
        }.items()
        if not there
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("service", SERVICES)
def test_no_route_but_the_probes_answers_a_stranger(demo: Up, service: str) -> None:
    url = demo.up_file[f"{service}_url"]
    with httpx2.Client(base_url=url, timeout=30) as client:
        for name, _ in operations(description(demo, service)):
            method, path = name.split()
            answer = client.request(method, path, headers={"Authorization": "Bearer rpv_nobody"})
            assert (answer.status_code == 401) == (path not in ("/livez", "/readyz")), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_answer_is_as_described(demo: Up, service: str) -> None:
    url = demo.up_file[f"{service}_url"]
    headers = key(demo, KEYS[service])
    described = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    failures = []
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        try:
            _ask(operation, headers)
        except (AssertionError, BaseExceptionGroup, schemathesis.errors.SchemathesisError) as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)


def _ask(operation: schemathesis.APIOperation, headers: dict[str, str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=UNHELPFUL, timeout=30)

    ask()
