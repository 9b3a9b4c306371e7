"""The embedded broker: one address for ever, a new identity at each start, nothing left behind."""

import signal
import subprocess
import sys

import psutil
import pytest

from shared.errors import UnavailableError
from shared.kafka.producer import OutgoingRecord, open_producer
from shared.kafka.topics import create_topics
from tests.kafka.support import eventually
from tests.support.apache_kafka import ApacheKafka
from tests.support.brokers import EmbeddedBroker


def record(topic: str = "claim-events", value: bytes = b"x") -> OutgoingRecord:
    return OutgoingRecord(topic, b"key", value, [])


async def test_it_comes_back_at_its_address_with_a_new_identity():
    broker = EmbeddedBroker()
    await broker.start()
    address = broker.bootstrap
    async with open_producer(address) as producer:
        first = await producer.cluster_id()
        assert [await producer.partitions(topic) for topic in ("claim-events", "case-facts")] == [12, 4]
        assert await producer.send_all([record()]) == [None]
        await broker.kill()
        await broker.start()
        assert broker.bootstrap == address

        async def is_another() -> bool:
            try:
                return await producer.cluster_id() != first
            except UnavailableError:
                return False

        await eventually(is_another)
        assert await producer.send_all([record()]) == [None]
    await broker.kill()


async def test_a_producer_says_which_records_arrived():
    broker = EmbeddedBroker()
    await broker.start()
    async with open_producer(broker.bootstrap) as producer:
        outcomes = await producer.send_all([record(), record(value=b"x" * (9 << 20)), record("case-facts")])
        await broker.kill()
        with pytest.raises(UnavailableError):
            await open_and_ask(broker.bootstrap)

    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "RefusedRecordError", "NoneType"]


async def open_and_ask(bootstrap: str) -> str:
    async with open_producer(bootstrap) as producer:
        return await producer.cluster_id()


def test_it_ends_with_sigterm():
    process = subprocess.Popen(
        [sys.executable, "-m", "services.embedded.broker", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready 127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


_PARENT = """
import subprocess, sys, time
command = [sys.executable, "-m", "services.embedded.broker", "--port", "0"]
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed():
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _PARENT,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    broker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    broker.wait(timeout=60)


@pytest.mark.apache
async def test_topics_are_created_once(apache_kafka: ApacheKafka):
    await create_topics(apache_kafka.bootstrap)
    assert await create_topics(apache_kafka.bootstrap) == []
    async with open_producer(apache_kafka.bootstrap) as producer:
        assert await producer.partitions("claim-events-triage-dlq") == 12
        with pytest.raises(UnavailableError, match="topics create"):
            await producer.partitions("no-such-topic")


async def test_creating_topics_says_when_no_broker_is_there():
    with pytest.raises(UnavailableError, match="does not answer"):
        await create_topics("127.0.0.1:1")
