"""What is absent is sent again: its producer makes it due."""

from collections import defaultdict
from typing import Self

from services.reconcile.streams import Sources
from services.reconcile.verdicts import REPAIRED, Finding, Message, Service

BATCH_MESSAGES = 500


class Repairs:
    """Collects messages and asks for them in batches, so that memory does not grow with what is absent."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._waiting: dict[Service, list[Message]] = defaultdict(list)
        self.count = 0

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
            self.count += self._sources.repair(
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
