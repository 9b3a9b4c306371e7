"""The rules that decisions are made with: payers' policies, and what reason and remark codes mean."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.api.policy_views import (
    CodeList,
    CodeShown,
    Layer,
    PolicyHistory,
    PolicyList,
    VersionShown,
    in_short,
    version_view,
)
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS, RARC_SUPPORTING, Meaning
from services.triage.domain.policy_file import PolicyFile
from services.triage.store.policy_sets import INSTALLATION, PolicySets
from services.triage.store.policy_versions import PolicyVersion, content_of, visible_versions
from services.triage.store.publishing import find_version
from shared.errors import NotFoundError
from shared.http.auth import require, scope_of
from shared.http.descriptions import json_answer
from shared.postgres import transaction
from shared.security.principals import Principal

Anybody = Annotated[Principal, require()]
Reader = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin", "operator")]


_UNKNOWN: tuple[Layer, int | None] = ("reference", None)


def policies_router(engine: AsyncEngine, sets: PolicySets) -> APIRouter:
    """Make the routes that read. What is in force is for every known caller: it is about payers."""
    router = APIRouter(tags=["rules"])

    @router.get("/v1/policies", operation_id="list_policies", responses={200: json_answer(PolicyList)})
    async def list_policies(principal: Anybody) -> Response:
        """List the policies in force for the caller."""
        async with transaction(engine, **scope_of(principal)) as connection:
            in_force = (await sets.in_force(connection)).of(principal.organization_id)
            known = _places(await visible_versions(connection))
        shown = []
        for policy in in_force.policies:
            layer, number = known.get((policy.id, policy.file.version), _UNKNOWN)
            shown.append(in_short(policy.file, layer=layer, number=number))
        return _json(PolicyList(shown))

    @router.get(
        "/v1/policies/{policy_id}",
        operation_id="get_policy",
        responses={200: json_answer(PolicyHistory)},
    )
    async def get_policy(principal: Anybody, policy_id: str) -> Response:
        """Give what is in force of a policy as its file has it; `history` has every version, for people."""
        async with transaction(engine, **_seen_by(principal)) as connection:
            in_force = (await sets.in_force(connection)).of(principal.organization_id)
            history = await visible_versions(connection, policy_id)
        versions: list[PolicyFile] = [one.file for one in in_force.policies if one.id == policy_id]
        if not versions and not history:
            raise NotFoundError("There is no such policy.", remedy="GET /v1/policies lists them.")
        told = [] if principal.role == "submitter" else [version_view(one) for one in history]
        return _json(PolicyHistory(id=policy_id, versions=versions, history=told))

    @router.get(
        "/v1/policies/{policy_id}/versions/{number}",
        operation_id="get_policy_version",
        responses={200: json_answer(VersionShown)},
    )
    async def get_version(
        principal: Reader,
        policy_id: str,
        number: int,
        layer: Annotated[Layer | None, Query(description="Whose version; your own unless told.")] = None,
    ) -> Response:
        """Give one version with its `content` as it was written; your own unless `layer` says otherwise."""
        own = principal.organization_id if layer in {None, "organization"} else None
        scope = own or INSTALLATION
        async with transaction(engine, **_seen_by(principal)) as connection:
            found = await find_version(connection, scope, policy_id, number)
            content = await content_of(connection, scope, policy_id, number)
        return _json(version_view(found, content=content))

    @router.get(
        "/v1/codes",
        operation_id="list_codes",
        responses={200: json_answer(CodeList)},
        dependencies=[require()],
    )
    async def list_codes() -> Response:
        """Give what codes mean; `supporting_remarks` are evidence beside a code, nothing by themselves."""
        return _json(
            CodeList(
                reason_codes=_codes(CARC_MEANINGS),
                remark_codes=_codes(RARC_MEANINGS),
                supporting_remarks=RARC_SUPPORTING,
            )
        )

    return router


def _seen_by(principal: Principal) -> dict[str, Any]:
    """Give the walls of a reader: the operator's own rows are the installation's, drafts too."""
    if principal.role == "operator":
        return {"organizations": (INSTALLATION,)}
    return {**scope_of(principal)}


def _places(versions: list[PolicyVersion]) -> dict[tuple[str, str], tuple[Layer, int]]:
    """Give layer and number of what is in force, by policy and version; the upper layer counts."""
    found: dict[tuple[str, str], tuple[Layer, int]] = {}
    for one in versions:
        if one.status == "reference":
            found.setdefault((one.policy_id, one.version), ("reference", one.number))
    for one in sorted(versions, key=lambda one: one.layer == "organization"):
        if one.status == "published":
            found[one.policy_id, one.version] = (one.layer, one.number)
    return found


def _codes(meanings: Mapping[str, Meaning]) -> list[CodeShown]:
    return [CodeShown(code=code, **asdict(meaning)) for code, meaning in meanings.items()]


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
