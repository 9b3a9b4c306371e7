"""
What can go wrong, and whose turn it is.

    ReprieveError
    ├── InvalidInputError     what was sent is wrong: repeating it cannot help
    │   ├── UnreadableError   these bytes are not what they should be (a file, a record)
    │   ├── TooLargeError     there is more of it than may be
    │   ├── MediaTypeError    it is of a kind that is not taken here
    │   ├── NotFoundError     there is no such thing, or none that the caller may see
    │   ├── DeniedError       the caller is known and may not do this
    │   └── UnauthenticatedError  the caller is not known
    ├── ConflictError         the thing changed meanwhile: the caller looks again and decides
    │   └── StaleError        it is not the version that the caller named
    └── UnavailableError      a part that we need does not answer: repeating later helps
        └── TooSlowError      it would take longer than it may: asking for less helps

Anything else that is raised is a defect and is allowed to crash its unit of work.
The text of an error is read by people: it says what, where, and what to do, and never names a patient.
"""

from collections.abc import Sequence


class ReprieveError(Exception):
    """The root of errors that Reprieve raises on purpose."""

    status = 500
    slug = "defect"

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        """`remedy` is one sentence that tells the reader what to do now."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message


class InvalidInputError(ReprieveError):
    """What was sent is wrong; repeating it cannot help. `errors` name the places, each with its problem."""

    status = 422
    slug = "invalid-input"

    def __init__(
        self, message: str, *, remedy: str | None = None, errors: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`errors` are pairs of a field and what is wrong with it."""
        super().__init__(message, remedy=remedy)
        self.errors = tuple(errors)


class UnreadableError(InvalidInputError):
    """The bytes are not what they should be."""

    slug = "unreadable"


class TooLargeError(InvalidInputError):
    """There is more of it than may be."""

    status = 413
    slug = "too-large"


class MediaTypeError(InvalidInputError):
    """The body is of a kind that the door does not take."""

    status = 415
    slug = "unsupported-media-type"


class NotFoundError(InvalidInputError):
    """There is no such thing, or none that the caller may see: the two look alike on purpose."""

    status = 404
    slug = "not-found"


class DeniedError(InvalidInputError):
    """The caller is known and may not do this."""

    status = 403
    slug = "forbidden"


class UnauthenticatedError(InvalidInputError):
    """The caller is not known."""

    status = 401
    slug = "unauthenticated"


class ConflictError(ReprieveError):
    """The thing changed meanwhile; the caller looks again and decides."""

    status = 409
    slug = "conflict"


class StaleError(ConflictError):
    """The thing is not the version that the caller named."""

    status = 412
    slug = "stale"


class UnavailableError(ReprieveError):
    """A part that we need does not answer; repeating later helps, after so many seconds."""

    status = 503
    slug = "unavailable"
    retry_after_seconds = 5


class TooSlowError(UnavailableError):
    """The database would take longer for it than one question may take; asking for less helps."""

    slug = "too-slow"
    retry_after_seconds = 60
