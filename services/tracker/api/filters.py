"""What people narrow a list of cases by: the same names in a URL, a body and a saved view."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.api.access import organization_of
from services.tracker.domain.states import State
from services.tracker.store.filters import Filters
from services.tracker.store.search import payers_like
from shared.contracts.decision import Category
from shared.errors import InvalidInputError
from shared.http.parameters import representable
from shared.identity import claim_key_of
from shared.postgres import Driver
from shared.security.principals import Principal
from shared.security.sealing import Sealer, member_id_index_text, name_index_text

Sort = Literal[
    "priority", "-priority", "deadline", "-deadline", "amount", "-amount", "age", "-age", "opened", "-opened"
]
DEFAULT_SORT: Sort = "-priority"
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]+$")
]
Dollars = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=2)]
Days = Annotated[int, Field(ge=0, le=36_500)]


class CaseFilters(BaseModel):
    """Each filter narrows the list further; a filter with several values takes any of them."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] | None = Field(None, description="Any of these states.", max_length=20)
    category: list[Category] | None = Field(None, description="Any of these categories.", max_length=20)
    payer: Word | None = Field(None, description="A payer's id or name, whole.")
    auth_related: bool | None = Field(None, description="Whether authorization has to do with it.")
    deadline_from: Annotated[AwareDatetime | date | None, AfterValidator(representable)] = Field(
        None,
        description="Next deadline at or after this instant, or on this day where the payer is, or later.",
    )
    deadline_before: Annotated[AwareDatetime | date | None, AfterValidator(representable)] = Field(
        None, description="Next deadline before this instant, or before this day where the payer is."
    )
    amount_at_least: Dollars | None = Field(None, description="Dollars at stake.")
    amount_at_most: Dollars | None = Field(None, description="Dollars at stake.")
    age_at_least: Days | None = Field(None, description="Opened this many days ago, or earlier.")
    age_at_most: Days | None = Field(None, description="Opened this many days ago, or later.")
    claim_number: Word | None = Field(None, description="CLP01, in any case of letters.")
    payer_claim_number: Word | None = Field(None, description="CLP07, as the payer writes it.")
    facility: Word | None = Field(None, description="The payee's NPI, or its tax id where it sends none.")
    rendering_npi: Word | None = Field(None, description="NPI of who rendered the service.")
    service_code: Word | None = Field(
        None, description="How a denied service's code begins: 70553, or 705 for its family."
    )
    needs_human: bool | None = Field(None, description="Whether something is left for a person to judge.")
    assignee: UUID | Literal["me", "none"] | None = Field(
        None, description="Who works on it: a principal_id, `me`, or `none`."
    )
    tag: Word | None = Field(None, description="A tag, whole.")
    include_test: bool = Field(False, description="Also cases of test files (ISA15=T).")


class PersonFilters(CaseFilters):
    """The same and who the patient is, which must stand in no URL."""

    member_id: Word | None = Field(None, description="Whole; case, spaces and signs do not count.")
    patient_last_name: Word | None = Field(None, description="Whole, with the first name where one is sent.")
    patient_first_name: Word | None = None

    @property
    def names_somebody(self) -> bool:
        return bool(self.member_id or self.patient_last_name or self.patient_first_name)


async def stored_filters(
    connection: AsyncConnection | Driver,
    principal: Principal,
    asked: CaseFilters,
    *,
    at: datetime,
    sealer: Sealer | None = None,
) -> Filters:
    """
    Say it as the store compares it. `sealer` makes the blind indexes of a person.

    Raises InvalidInputError for a claim number, member id or name in which nothing tells one from another.
    """
    payer, organization_id = asked.payer, organization_of(principal)
    return Filters(
        states=asked.state or (),
        categories=asked.category or (),
        auth_related=asked.auth_related,
        payers=None if payer is None else await payers_like(connection, organization_id, payer),
        **_deadlines(asked),
        amount_at_least=asked.amount_at_least,
        amount_at_most=asked.amount_at_most,
        opened_until=None if asked.age_at_least is None else at - timedelta(days=asked.age_at_least),
        opened_from=None if asked.age_at_most is None else at - timedelta(days=asked.age_at_most),
        claim_key=_claim_key(organization_id, asked.claim_number),
        payer_claim_number=asked.payer_claim_number,
        **(_person(asked, sealer) if isinstance(asked, PersonFilters) and sealer else {}),
        facility=asked.facility,
        rendering_npi=asked.rendering_npi,
        service_code=asked.service_code and asked.service_code.upper(),
        needs_human=asked.needs_human,
        **_assignee(asked.assignee, principal),
        tag=asked.tag and asked.tag.lower(),
        include_test=asked.include_test,
    )


def _deadlines(asked: CaseFilters) -> dict[str, Any]:
    ends = {"deadline_from": asked.deadline_from, "deadline_before": asked.deadline_before}
    return {name if isinstance(end, datetime) else f"{name}_day": end for name, end in ends.items()}


def _assignee(asked: UUID | str | None, principal: Principal) -> dict[str, Any]:
    if asked == "none":
        return {"unassigned": True}
    return {"assignee_id": principal.principal_id if asked == "me" else asked}


def _claim_key(organization_id: UUID, claim_number: str | None) -> UUID | None:
    if claim_number is None:
        return None
    return claim_key_of(organization_id, claim_number) or _tells_nothing("claim number")


def _person(asked: PersonFilters, sealer: Sealer) -> dict[str, Any]:
    """Make the blind indexes exactly as seal_person makes them."""
    found: dict[str, Any] = {}
    if asked.member_id is not None:
        said = member_id_index_text(asked.member_id) or _tells_nothing("member id")
        found["member_id_index"] = sealer.index(said)
    if asked.patient_last_name is not None or asked.patient_first_name is not None:
        said = name_index_text(asked.patient_last_name, asked.patient_first_name) or _tells_nothing("name")
        found["patient_name_index"] = sealer.index(said)
    return found


def _tells_nothing(what: str) -> Any:
    raise InvalidInputError(
        f"The {what} holds nothing that tells one from another.", remedy="Send letters or digits of it."
    )
