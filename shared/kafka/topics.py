"""Creating the topics: every one of the contracts, and the dead-letter topic of each consumer group."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.contracts.topics import DEAD_LETTER_DAYS, TOPICS
from shared.errors import UnavailableError
from shared.kafka.producer import MAX_RECORD_BYTES

PARTITIONS = 12

_DAY_MS = 24 * 60 * 60 * 1000


async def create_topics(
    bootstrap_servers: str, *, partitions: int = PARTITIONS, replication_factor: int | None = None
) -> list[str]:
    """
    Create the topics that are missing and give their names; the existing ones stay as they are.

    By default each partition has three replicas, or as many as there are brokers.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        replicas = replication_factor or min(3, len((await admin.describe_cluster())["brokers"]))
        answer = await admin.create_topics(_wanted(partitions, replicas), timeout_ms=30_000)
    except (KafkaError, OSError) as error:
        raise UnavailableError(
            f"The broker at {bootstrap_servers} does not answer.", remedy="Check the address, then repeat."
        ) from error
    finally:
        await admin.close()
    created = []
    for name, code, *_ in answer.topic_errors:
        error_type = for_code(code)
        if code == 0:
            created.append(name)
        elif error_type is not TopicAlreadyExistsError:
            raise UnavailableError(f"The topic {name} could not be created: {error_type.__name__}.")
    return sorted(created)


def _wanted(partitions: int, replication_factor: int) -> list[NewTopic]:
    kept_days = {topic.name: topic.kept_days for topic in TOPICS}
    kept_days |= {name: DEAD_LETTER_DAYS for topic in TOPICS for name in topic.dead_letters()}
    return [
        NewTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replication_factor,
            topic_configs={
                "retention.ms": str(days * _DAY_MS),
                "cleanup.policy": "delete",
                "max.message.bytes": str(MAX_RECORD_BYTES),
            },
        )
        for name, days in kept_days.items()
    ]
