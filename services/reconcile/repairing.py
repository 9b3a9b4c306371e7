"""What is absent is sent again: its producer makes it due."""

from collections import defaultdict
from typing import NamedTuple, Self

from services.reconcile.streams import Sources
from services.reconcile.verdicts import REPAIRED, Finding, Message, Service

BATCH_MESSAGES = 500


class Repaired(NamedTuple):
    """How many messages were made due again, and how many cannot be: what they said was purged."""

    made_due: int = 0
    purged: int = 0


class Repairs:
    """Collects messages and asks for them in batches, so that memory does not grow with what is absent."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._waiting: dict[Service, list[Message]] = defaultdict(list)
        self.asked = 0
        self.made_due = 0

    @property
    def outcome(self) -> Repaired:
        return Repaired(self.made_due, self.asked - self.made_due)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            for service in self._waiting:
                self._ask(service)

    def consider(self, finding: Finding) -> None:
        """Have the message sent again that would bring what the finding says is absent."""
        message = finding.message
        if message is None or finding.verdict not in REPAIRED:
            return
        self._waiting[message.producer].append(message)
        if len(self._waiting[message.producer]) >= BATCH_MESSAGES:
            self._ask(message.producer)

    def _ask(self, service: Service) -> None:
        messages, self._waiting[service] = self._waiting[service], []
        if messages:
            self.asked += len(messages)
            self.made_due += self._sources.repair(
                service,
                [
                    {
                        "organization_id": message.organization_id,
                        "message_id": message.message_id,
                        "revision": message.revision,
                    }
                    for message in messages
                ],
            )
