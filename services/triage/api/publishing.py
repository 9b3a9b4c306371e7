"""Changing policies over HTTP: an admin those of its organization, the operator those of the installation."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.triage.api.policy_views import (
    Change,
    NewVersion,
    ReevaluationList,
    VersionShown,
    reevaluation_view,
    version_view,
)
from services.triage.store import publishing, reevaluations
from services.triage.store.organizations import time_zones
from services.triage.store.policy_sets import INSTALLATION, PolicySets
from services.triage.store.policy_versions import Author
from shared.http.auth import require
from shared.http.descriptions import json_answer
from shared.postgres import transaction
from shared.security.principals import Principal

Keeper = Annotated[Principal, require("admin", "operator")]
Reader = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin", "operator")]


def publishing_router(engine: AsyncEngine, sets: PolicySets) -> APIRouter:
    """Make the routes that change what is in force."""
    router = APIRouter(tags=["rules"])

    @router.put(
        "/v1/policies/{policy_id}",
        operation_id="draft_policy",
        status_code=201,
        responses={
            200: {**json_answer(VersionShown), "description": "It is the latest version already."},
            201: json_answer(VersionShown),
        },
    )
    async def draft_policy(principal: Keeper, policy_id: str, new: NewVersion) -> Response:
        """Keep a policy as a draft; 200 if it is the latest one already. `errors` name wrong keys."""
        scope = _scope(principal)
        async with transaction(engine, organizations=[scope]) as connection:
            version, created = await publishing.keep_draft(
                connection,
                scope,
                policy_id,
                new.content.encode(),
                based_on=new.based_on,
                author=_author(principal),
                reason=new.reason,
            )
        return _json(version_view(version), status=201 if created else 200)

    @router.post(
        "/v1/policies/{policy_id}/versions/{number}/publish",
        operation_id="publish_policy",
        responses={200: json_answer(VersionShown)},
    )
    async def publish_policy(principal: Keeper, policy_id: str, number: int, change: Change) -> Response:
        """Put a draft in force. Every process decides by it at once; what it touches is decided again."""
        scope, organizations = _scope(principal), await _touched(engine, principal)
        async with transaction(engine, organizations=[scope, *organizations]) as connection:
            asked = await publishing.publish(
                connection,
                sets,
                await publishing.find_version(connection, scope, policy_id, number),
                by=_author(principal),
                reason=change.reason,
                organizations=organizations,
            )
            return await _answer(connection, scope, policy_id, number, asked)

    @router.post(
        "/v1/policies/{policy_id}/versions/{number}/retire",
        operation_id="retire_policy",
        responses={200: json_answer(VersionShown)},
    )
    async def retire_policy(principal: Keeper, policy_id: str, number: int, change: Change) -> Response:
        """Take a version out of force; what stood below it holds again."""
        scope, organizations = _scope(principal), await _touched(engine, principal)
        async with transaction(engine, organizations=[scope, *organizations]) as connection:
            asked = await publishing.retire(
                connection,
                await publishing.find_version(connection, scope, policy_id, number),
                by=_author(principal),
                reason=change.reason,
                organizations=organizations,
            )
            return await _answer(connection, scope, policy_id, number, asked)

    @router.get(
        "/v1/reevaluations",
        operation_id="list_reevaluations",
        responses={200: json_answer(ReevaluationList)},
    )
    async def list_reevaluations(
        principal: Reader,
        limit: Annotated[int, Query(ge=1, le=500, description="How many, newest first.")] = 50,
    ) -> Response:
        """List what is, or was, decided again because a policy changed, the newest first."""
        organizations = await _touched(engine, principal)
        async with transaction(engine, organizations=organizations) as connection:
            found = await reevaluations.list_reevaluations(connection, organizations, limit=limit)
        to_operator = principal.organization_id is None
        return _json(ReevaluationList([reevaluation_view(one, to_operator=to_operator) for one in found]))

    return router


def _scope(principal: Principal) -> UUID:
    return principal.organization_id or INSTALLATION


async def _touched(engine: AsyncEngine, principal: Principal) -> list[UUID]:
    """Give the organizations whose decisions a change by this caller can touch."""
    if principal.organization_id is not None:
        return [principal.organization_id]
    async with transaction(engine) as connection:
        return list(await time_zones(connection))


def _author(principal: Principal) -> Author:
    return Author(principal.name, principal.role, principal.principal_id)


async def _answer(
    connection: AsyncConnection, scope: UUID, policy_id: str, number: int, asked: int
) -> Response:
    version = await publishing.find_version(connection, scope, policy_id, number)
    return _json(version_view(version, reevaluations=asked))


def _json(body: Any, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
