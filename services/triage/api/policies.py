"""The rules that decisions are made with: payers' policies, and what reason and remark codes mean."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response

from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS, RARC_SUPPORTING, Meaning
from services.triage.domain.policies import Policies
from services.triage.domain.policy_file import ClockEntry, PolicyFile
from shared.errors import NotFoundError
from shared.http.auth import require


class ClockShown(msgspec.Struct, frozen=True, kw_only=True):
    """A time limit in short, e.g. 30 calendar_days from dos_last; no amount: see the policy."""

    kind: str
    label: str
    permitted: bool
    amount: int | None
    unit: str | None
    anchors: tuple[str, ...]


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A policy in short."""

    id: str
    version: str
    status: str
    name: str
    default: bool
    payer_names: tuple[str, ...]
    effective_from: date | None
    effective_to: date | None
    clocks: tuple[ClockShown, ...]


def policies_router(policies: Policies) -> APIRouter:
    """Make the routes, for every known caller: rules are about payers, not about patients."""
    router = APIRouter(tags=["rules"], dependencies=[require()])
    files = [policy.file for policy in policies.policies]

    @router.get("/v1/policies", operation_id="list_policies")
    async def list_policies() -> Response:
        return _json({"data": [_in_short(file) for file in files]})

    @router.get("/v1/policies/{policy_id}", operation_id="get_policy")
    async def get_policy(policy_id: str) -> Response:
        """Give every version of a policy, each as its file has it."""
        versions = [file for file in files if file.id == policy_id]
        if not versions:
            raise NotFoundError("There is no such policy.", remedy="GET /v1/policies lists them.")
        return _json({"id": policy_id, "versions": versions})

    @router.get("/v1/codes", operation_id="list_codes")
    async def list_codes() -> Response:
        """Give what codes mean; `supporting_remarks` are evidence beside a code, nothing by themselves."""
        return _json(
            {
                "reason_codes": _codes(CARC_MEANINGS),
                "remark_codes": _codes(RARC_MEANINGS),
                "supporting_remarks": RARC_SUPPORTING,
            }
        )

    return router


def _in_short(file: PolicyFile) -> PolicyShown:
    return PolicyShown(
        id=file.id,
        version=file.version,
        status=file.status,
        name=file.name,
        default=file.default,
        payer_names=file.match.names,
        effective_from=file.effective_from,
        effective_to=file.effective_to,
        clocks=tuple(map(_clock, file.clocks)),
    )


def _clock(entry: ClockEntry) -> ClockShown:
    return ClockShown(
        kind=entry.kind,
        label=entry.label,
        permitted=entry.permitted,
        amount=entry.amount,
        unit=entry.unit,
        anchors=entry.anchors,
    )


def _codes(meanings: Mapping[str, Meaning]) -> list[dict[str, Any]]:
    return [{"code": code, **asdict(meaning)} for code, meaning in meanings.items()]


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
