"""/v1/alerts/routes, silences, maintenance: who hears of what, and what is kept quiet until when."""

from datetime import date, time, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

import holidays
from fastapi import APIRouter, Body, Path, Request, Response, status
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.routing import Match, Routing
from services.tracker.alerts.domain.rules import Hour
from services.tracker.alerts.store.settings import (
    SILENCES_MAX,
    Chosen,
    add_silence,
    choose,
    chosen_by,
    end_silence,
    silences_of,
)
from services.tracker.api.alerts import (
    CHANGED,
    PROBLEMS,
    AlertEditor,
    AlertReader,
    behind_wall,
    wall_of,
)
from services.tracker.api.steps import ANSWERS, IfMatch, version_of
from services.tracker.api.views import View
from services.tracker.store.audit import audit
from shared import clock
from shared.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import transaction
from shared.security.principals import Principal

SILENCE_AT_MOST = timedelta(days=90)
_DAYS_MAX = 500

Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00]+$")]
Weekday = Annotated[int, Field(ge=0, le=6, description="0 is Monday.")]


class CalendarView(BaseModel):
    """Business days and hours: Monday to Friday, 8 to 18, without US holidays, in the organization's zone."""

    model_config = ConfigDict(extra="forbid")

    zone: str | None = Field(default=None, max_length=64)
    weekdays: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4)
    opens: Hour = time(8)
    closes: Hour = time(18)
    country: str = Field(default="US", max_length=2, description="Whose holidays are kept; empty for none.")
    subdivision: str | None = Field(default=None, max_length=10)
    closed: Annotated[frozenset[date], Field(max_length=_DAYS_MAX)] = frozenset()
    open: Annotated[frozenset[date], Field(max_length=_DAYS_MAX)] = frozenset()


class NewRoutes(BaseModel):
    """The tree of routes, what inhibits what, and the calendar; all of it replaces all that was there."""

    model_config = ConfigDict(extra="forbid")

    routing: Routing
    calendar: CalendarView = CalendarView()


class RoutesView(NewRoutes):
    """As they stand; `version` 0 are the defaults."""

    version: int


class NewSilence(BaseModel):
    """Alerts that match are kept quiet. An end and a reason are asked for; it begins now unless told."""

    model_config = ConfigDict(extra="forbid")

    match: Match
    reason: Reason
    ends_at: AwareDatetime
    starts_at: AwareDatetime | None = None


class NewMaintenance(BaseModel):
    """Everything is kept quiet until `ends_at`; what stands then is told at once."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    ends_at: AwareDatetime


class SilenceView(View):
    """A silence: what it matches, who made it, why, from when until when."""

    silence_id: UUID
    match: Match
    maintenance: bool
    reason: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    made_by: UUID
    made_by_name: str


class SilenceList(View):
    data: list[SilenceView]


SilenceId = Annotated[UUID, Path(description="The silence.")]


def alert_routes_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["alerts"])

    @router.get("/v1/alerts/routes", operation_id="get_alert_routes")
    async def get_routes(principal: AlertReader, response: Response) -> RoutesView:
        """Give the tree of routes, the inhibitions, and the calendar."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            chosen = await chosen_by(connection, wall_of(principal))
        response.headers["ETag"] = f'"{chosen.version}"'
        return _view(chosen)

    @router.put(
        "/v1/alerts/routes",
        operation_id="change_alert_routes",
        response_model=RoutesView,
        responses=CHANGED,
    )
    async def put_routes(
        request: Request,
        principal: AlertEditor,
        new: Annotated[NewRoutes, Body()],
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Replace the tree of routes, the inhibitions, and the calendar."""
        principal = behind_wall(principal)
        _check(new.calendar)
        wanted = version_of(if_match)
        work = partial(_change, principal, new, wanted)
        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.get("/v1/alerts/silences", operation_id="list_alert_silences")
    async def get_silences(principal: AlertReader) -> SilenceList:
        """List silences that are running or ahead, the next to end first; maintenance is one of them."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            rows = await silences_of(connection, wall_of(principal), ending_after=clock.now())
        return SilenceList(
            data=[
                SilenceView.model_validate(
                    {**row._mapping, "match": Match.model_validate_json(row.match)}  # noqa: SLF001
                )
                for row in rows
            ]
        )

    @router.post(
        "/v1/alerts/silences",
        operation_id="silence_alerts",
        status_code=status.HTTP_201_CREATED,
        response_model=SilenceView,
    )
    async def silence(
        request: Request,
        principal: AlertEditor,
        new: Annotated[NewSilence, Body()],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Keep alerts quiet until an end, for a reason that everybody can read."""
        if new.match == Match():
            raise InvalidInputError(
                "A silence needs something to match.", remedy="To keep everything quiet, use maintenance."
            )
        return await _silence(
            engine, request, principal, new, match=new.match, maintenance=False, key=idempotency_key
        )

    @router.delete(
        "/v1/alerts/silences/{silence_id}",
        operation_id="end_alert_silence",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=PROBLEMS,
    )
    async def unsilence(
        request: Request,
        principal: AlertEditor,
        silence_id: SilenceId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """End a silence, or a maintenance, now: what stands is told at once."""
        principal = behind_wall(principal)

        async def work(connection: AsyncConnection) -> Answer:
            if not await end_silence(connection, wall_of(principal), silence_id, at=clock.now()):
                raise NotFoundError(
                    "There is no such silence.", remedy="`GET /v1/alerts/silences` lists them."
                )
            await audit(connection, principal, "alert_silence_ended", detail={"silence_id": str(silence_id)})
            return Answer(status.HTTP_204_NO_CONTENT)

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.post(
        "/v1/alerts/maintenance",
        operation_id="begin_alert_maintenance",
        status_code=status.HTTP_201_CREATED,
        response_model=SilenceView,
    )
    async def maintain(
        request: Request,
        principal: AlertEditor,
        new: Annotated[NewMaintenance, Body()],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Keep everything quiet until an end; end it earlier by ending its silence."""
        return await _silence(
            engine, request, principal, new, match=Match(), maintenance=True, key=idempotency_key
        )

    return router


async def _silence(
    engine: AsyncEngine,
    request: Request,
    principal: Principal,
    new: NewSilence | NewMaintenance,
    *,
    match: Match,
    maintenance: bool,
    key: str | None,
) -> Response:
    at = clock.now()
    starts_at = getattr(new, "starts_at", None) or at
    if new.ends_at <= max(at, starts_at) or new.ends_at - starts_at > SILENCE_AT_MOST:
        raise InvalidInputError(
            "The silence ends in the past, or lasts too long.",
            remedy=f"Give an end within {SILENCE_AT_MOST.days} days after its beginning.",
        )
    principal = behind_wall(principal)
    made = SilenceView(
        silence_id=uuid4(),
        match=match,
        maintenance=maintenance,
        reason=new.reason,
        starts_at=starts_at,
        ends_at=new.ends_at,
        made_by=UUID(str(principal.principal_id)),
        made_by_name=principal.name,
    )

    async def work(connection: AsyncConnection) -> Answer:
        if len(await silences_of(connection, wall_of(principal), ending_after=at)) >= SILENCES_MAX:
            raise ConflictError(
                f"There are {SILENCES_MAX} silences already.", remedy="End those that nobody needs."
            )
        columns: dict[str, Any] = {**dict(made), "match": match.model_dump_json()}
        await add_silence(connection, wall_of(principal), **columns)
        await audit(
            connection,
            principal,
            "alerts_silenced",
            detail={"silence_id": str(made.silence_id), "maintenance": maintenance},
        )
        return Answer(status.HTTP_201_CREATED, made.model_dump_json().encode())

    return await answer_once(engine, request, principal, work, table=ANSWERS, key=key)


async def _change(
    principal: Principal, new: NewRoutes, wanted: int | None, connection: AsyncConnection
) -> Answer:
    before = await chosen_by(connection, wall_of(principal))
    told = new.calendar.model_dump(mode="json", exclude_unset=True)
    if wanted not in (None, before.version) or not await choose(
        connection,
        wall_of(principal),
        routing=new.routing,
        calendar={name: value for name, value in told.items() if value is not None},
        version=before.version + 1,
    ):
        raise StaleError(
            "The routes were changed meanwhile.", remedy="Read them again, and send the new ETag."
        )
    await audit(
        connection,
        principal,
        "alert_routes_changed",
        detail={
            "version": before.version + 1,
            "before": before.routing.model_dump(mode="json", exclude_none=True),
            "after": new.model_dump(mode="json", exclude_none=True),
        },
    )
    after = _view(await chosen_by(connection, wall_of(principal)))
    return Answer(status.HTTP_200_OK, after.model_dump_json().encode(), {"ETag": f'"{after.version}"'})


def _check(calendar: CalendarView) -> None:
    if calendar.zone is not None and calendar.zone not in available_timezones():
        raise InvalidInputError("The calendar's zone is not known.", remedy="Use an IANA name.")
    if calendar.opens >= calendar.closes:
        raise InvalidInputError("Business hours end before they begin.", remedy="Set `closes` after `opens`.")
    known = holidays.list_supported_countries()
    if calendar.country and calendar.country not in known:
        raise InvalidInputError("The holidays of this country are not known.", remedy="Leave it empty.")
    if calendar.subdivision and calendar.subdivision not in known.get(calendar.country, []):
        raise InvalidInputError("The country has no such subdivision.", remedy="Leave it out.")


def _view(chosen: Chosen) -> RoutesView:
    return RoutesView(
        routing=chosen.routing, calendar=_calendar_view(chosen.calendar), version=chosen.version
    )


def _calendar_view(calendar: Calendar) -> CalendarView:
    return CalendarView(**{name: getattr(calendar, name) for name in CalendarView.model_fields})
