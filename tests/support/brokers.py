"""
The brokers that the tests run against: the embedded one, and Apache Kafka itself.

A test that takes the fixture `broker` runs once with each, and begins with empty topics.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.kafka.relay import EMBEDDED_WINDOW_BYTES_PER_PARTITION, WINDOW_BYTES_PER_PARTITION
from shared.kafka.topics import create_topics
from tests.support.apache_kafka import ApacheKafka, MissingKafkaError
from tests.support.ports import free_port


class EmbeddedBroker:
    """services.embedded.broker as a process. It keeps its address when it starts again, and nothing else."""

    kind = "embedded"
    window_bytes = EMBEDDED_WINDOW_BYTES_PER_PARTITION
    keeps_its_disk = False

    def __init__(self) -> None:
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.embedded.broker", "--port", str(self._port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        word, _, address = self._process.stdout.readline().partition(" ")
        assert word == "ready"
        self._port = int(address.rpartition(":")[2])

    async def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    async def forget(self) -> None:
        """Nothing: when it ends, it has forgotten."""


class ApacheBroker:
    """Apache Kafka, one node for the whole session. It keeps its disk unless it is told to forget."""

    kind = "apache"
    window_bytes = WINDOW_BYTES_PER_PARTITION
    keeps_its_disk = True

    def __init__(self, node: ApacheKafka) -> None:
        self._node = node
        self._running = True

    @property
    def bootstrap(self) -> str:
        return self._node.bootstrap

    async def start(self) -> None:
        if not self._running:
            await asyncio.to_thread(self._node.start)
            self._running = True
        await create_topics(self.bootstrap)

    async def kill(self) -> None:
        """End it without warning."""
        self._running = False
        await asyncio.to_thread(self._node.kill)

    async def forget(self) -> None:
        """Lose the disk of the killed node, so that another cluster starts in its place."""
        await asyncio.to_thread(self._node.forget)

    async def empty(self) -> None:
        """Delete every topic, and wait until the groups' offsets are gone with them."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            while names := [name for name in await admin.list_topics() if not name.startswith("__")]:
                await admin.delete_topics(names)
            deadline = time.monotonic() + 90
            while await self._remembers_offsets(admin):
                assert time.monotonic() < deadline, "the groups keep their offsets"
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    async def _remembers_offsets(self, admin: AIOKafkaAdminClient) -> bool:
        groups = [group for group, *_ in await admin.list_consumer_groups()]
        return any([await admin.list_consumer_group_offsets(group) for group in groups])


Broker = EmbeddedBroker | ApacheBroker


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """Apache Kafka for the whole session; skips where it cannot run, and fails there under CI."""
    with tempfile.TemporaryDirectory(prefix="reprieve-kafka-") as folder:
        try:
            node = ApacheKafka(Path(folder))
            node.start()
        except MissingKafkaError as error:
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(f"CI must run Apache Kafka. {error}")
            pytest.skip(str(error))
        yield node
        node.stop()


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.apache)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """A running broker with empty topics, twice: the embedded one and Apache Kafka."""
    if request.param == "embedded":
        embedded = EmbeddedBroker()
        await embedded.start()
        yield embedded
        await embedded.kill()
        return
    apache = ApacheBroker(request.getfixturevalue("apache_kafka"))
    await apache.empty()
    await apache.start()
    yield apache
    await apache.start()
