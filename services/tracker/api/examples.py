"""Examples and error schemas for the OpenAPI description. Invented, like everything in them."""

from typing import Any

from shared.http.problems import described

PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: described("There is no such case, or none that the caller may see.")
}


def content(*media_types: str) -> dict[str, Any]:
    """Describe an answer that is a file."""
    return {"content": {one: {"schema": {"type": "string", "format": "binary"}} for one in media_types}}


_CASE = {
    "case_id": "0c1e3b1a-6a55-5b0e-9a44-7c0f8b1d9e63",
    "version": 2,
    "state": "open",
    "closed_reason": None,
    "merged_into": None,
    "is_test": False,
    "auth_related": True,
    "category": "authorization_absent",
    "route": None,
    "recommended_action": "request_retro_authorization",
    "payer_name": "ACME HEALTH PLAN",
    "payer_id": "1999999999",
    "claim_number": "ACCT-1001",
    "payer_claim_number": "20260110001",
    "facility": "1999999984",
    "rendering_npi": "1999999992",
    "service_code": "70553",
    "further_service_codes": [],
    "patient": {"name": "•••", "member_id": "•••", "revealed": False},
    "service_from": "2026-01-02",
    "denied_on": "2026-01-10",
    "charge_amount": "1240.00",
    "denied_amount": "1240.00",
    "amount_at_stake": "1240.00",
    "paid_amount": "0.00",
    "next_deadline_at": "2026-04-03T03:59:59Z",
    "next_deadline_on": "2026-04-02",
    "next_deadline_zone": "America/New_York",
    "days_left": 12,
    "may_have_closed": False,
    "urgency_class": "elective",
    "priority": 72,
    "confidence": 0.9,
    "needs_human": False,
    "needs_human_reasons": [],
    "assignee_id": None,
    "tags": ["imaging"],
    "follow_up_on": "2026-01-26",
    "information_due_at": None,
    "recovered_payer_amount": "0.00",
    "recovered_patient_amount": "0.00",
    "opened_at": "2026-01-11T09:00:00Z",
    "updated_at": "2026-01-12T09:00:00Z",
    "closed_at": None,
    "purged_at": None,
}


def _answer(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {**PROBLEMS, 200: {"content": {"application/json": {"example": example}}}}


CASE_PAGE = _answer({"data": [_CASE], "has_more": False, "next_cursor": None})
CASE_DETAIL = _answer(
    {
        **_CASE,
        "allowed_steps": ["submit", "note", "close"],
        "requests": [{"kind": "retro_authorization", "level": 1, "state": "in_preparation"}],
        "documents": [],
        "documents_complete": None,
        "decision": None,
        "further_decisions": [],
        "observations": [],
        "subscriber": None,
        "corrected_patient": None,
        "timeline": None,
        "steps": None,
        "facts": [],
        "files": None,
    }
)
NEW_FACT: dict[int | str, dict[str, Any]] = {**PROBLEMS, 409: described("The case has ended.")}
EVENT_PAGE = _answer(
    {
        "data": [
            {
                "type": "CaseOpened",
                "data": {
                    "organization_id": "0a000000-0000-4000-8000-000000000001",
                    "case_event_id": "4f0a2d6e-6a55-5b0e-9a44-7c0f8b1d9e63",
                    "case_id": "0c1e3b1a-6a55-5b0e-9a44-7c0f8b1d9e63",
                    "version": 1,
                    "occurred_at": "2026-01-11T09:00:00Z",
                    "state": "open",
                    "category": "authorization_absent",
                    "auth_related": True,
                    "amount_at_stake": "1240.00",
                },
            }
        ],
        "has_more": False,
        "next_cursor": "5PmU…",
    }
)

FACTS: dict[str, Any] = {
    "admission": {
        "summary": "The patient was admitted on a day",
        "value": {"kind": "admission_date", "value": "2026-01-01"},
    },
    "emergency": {
        "summary": "The service was an emergency",
        "value": {"kind": "urgency", "value": "emergency", "note": "Brought by ambulance."},
    },
}

STEPS: dict[str, Any] = {
    "submit": {
        "summary": "A request went to the payer",
        "value": {
            "kind": "submit",
            "request": "retro_authorization",
            "on": "2026-01-12",
            "channel": "portal",
            "reference": "REF-2041",
            "sent": "Cover letter, clinical notes of the visit",
        },
    },
    "information_requested": {
        "summary": "The payer wants to know more",
        "value": {
            "kind": "information_requested",
            "request": "retro_authorization",
            "on": "2026-01-20",
            "what": "The imaging report",
            "due_on": "2026-01-30",
        },
    },
    "approved": {
        "summary": "The payer authorized it",
        "value": {
            "kind": "determine",
            "request": "retro_authorization",
            "on": "2026-02-02",
            "outcome": "approved",
            "authorization_number": "AUTH-77",
        },
    },
    "close": {
        "summary": "Nothing more is to be won",
        "value": {
            "kind": "close",
            "reason": "not_permitted",
            "note": "The plan grants no retroactive requests.",
        },
    },
}
NEW_STEP: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    409: described("The case does not allow this step now; the remedy names those that it allows."),
    412: described("The case is not the version of If-Match any more."),
}
