"""What the commands ask triage about policies, over HTTP with a key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec

from shared.errors import NotFoundError, UnavailableError
from shared.http.client import Stack, raise_for_problem


@dataclass(frozen=True, slots=True)
class PolicyClient:
    """A stack's policies in one scope: an organization's (a key of its admin), or the installation's."""

    http: httpx2.Client
    layer: str

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path | None, *, installation: bool, role: str = "admin") -> Iterator[Self]:
        """Connect. `installation` speaks as the operator."""
        speaker = "operator" if installation else role
        with Stack.find(data_dir).client("triage", speaker) as http:
            yield cls(http, "installation" if installation else "organization")

    def in_force(self) -> list[dict[str, Any]]:
        """Give what is in force, in short."""
        return list(self._get("/v1/policies")["data"])

    def history(self, policy_id: str) -> list[dict[str, Any]]:
        """Give every version that this key may see, the newest first; none if there is no such policy."""
        try:
            return list(self._get(f"/v1/policies/{policy_id}")["history"])
        except NotFoundError:
            return []

    def own(self, policy_id: str) -> list[dict[str, Any]]:
        """Give the versions of this scope, the newest first."""
        return [one for one in self.history(policy_id) if one["layer"] == self.layer]

    def content(self, policy_id: str, number: int, layer: str) -> bytes:
        """Give a version as it was written."""
        scope = "organization" if layer == "organization" else "installation"
        found = self._get(f"/v1/policies/{policy_id}/versions/{number}", layer=scope)
        return str(found["content"]).encode()

    def draft(self, policy_id: str, content: bytes, *, based_on: int, reason: str) -> dict[str, Any]:
        """Send a draft; gives its version."""
        body = {"content": content.decode(), "reason": reason, "based_on": based_on}
        return self._answer(self.http.put(f"/v1/policies/{policy_id}", json=body))

    def change(self, what: str, policy_id: str, number: int, *, reason: str) -> dict[str, Any]:
        """Publish or retire a version."""
        path = f"/v1/policies/{policy_id}/versions/{number}/{what}"
        return self._answer(self.http.post(path, json={"reason": reason}))

    def stream(self, method: str, path: str, **request: Any) -> Iterator[dict[str, Any]]:
        """Give the lines of an answer as they come; raises UnavailableError if it breaks off."""
        with self.http.stream(method, path, **request) as answer:
            for line in raise_for_problem(answer).iter_lines():
                if line:
                    yield _read_line(line)

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        return self._answer(self.http.get(path, params=query))

    def _answer(self, answer: httpx2.Response) -> dict[str, Any]:
        return dict(raise_for_problem(answer).json())


def _read_line(line: str) -> dict[str, Any]:
    try:
        return dict(msgspec.json.decode(line))
    except msgspec.MsgspecError as error:
        raise UnavailableError("triage broke off its answer.", remedy="Try again.") from error


def digest_text(content: bytes) -> str:
    """Give the SHA-256 of a text, as versions show it."""
    return sha256(content).hexdigest()
