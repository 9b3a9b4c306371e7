"""
A Kafka broker without a JVM: `python -m services.embedded.broker --port N`.

librdkafka carries a mock cluster that speaks the Kafka protocol, and the confluent-kafka wheel carries
librdkafka. It keeps about 5 MB per partition in memory and forgets everything when it ends. What it loses is
sent again, because nothing is settled before its receipt. Topics are made at first use with four partitions;
those that carry every denial have more from the start, since what may be in flight is counted per partition.

The mock chooses its own port. We want the same one after every start, since clients come back to an address,
so its listening socket is replaced by one of ours.
"""

import argparse
import ctypes
import os
import signal
import socket
import threading
from types import FrameType

from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged
from shared.values import SHARDS

HOST = "127.0.0.1"

_BROKER_ID = 1
_PRODUCER = 0  # rd_kafka_type_t
_HIGHEST_DESCRIPTOR = 256
_JOIN_DELAY_MS = 100
_ORPHAN_CHECK_SECONDS = 0.5


def main() -> None:
    """Serve until SIGTERM or SIGINT, or until whoever started us is gone."""
    parser = argparse.ArgumentParser(prog="services.embedded.broker")
    parser.add_argument("--port", type=int, required=True, help="0 takes any free port")
    port = parser.parse_args().port
    parent = os.getppid()
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    listener = _listen(port)
    _serve_on(listener)
    print(f"ready {HOST}:{listener.getsockname()[1]}", flush=True)  # noqa: T201  the supervisor and the tests read it
    while not stop.wait(_ORPHAN_CHECK_SECONDS) and os.getppid() == parent:
        pass
    os._exit(0)  # nothing is kept, so there is nothing to tidy up, and the mock takes a second to do it


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _serve_on(listener: socket.socket) -> None:
    """Start a cluster of one broker whose clients come through `listener`."""
    library = _library()
    error = ctypes.create_string_buffer(512)
    settings = library.rd_kafka_conf_new()
    # It warns that it has no broker to go to; it is one.
    library.rd_kafka_conf_set(settings, b"log_level", b"3", error, ctypes.sizeof(error))
    client = library.rd_kafka_new(_PRODUCER, settings, error, ctypes.sizeof(error))
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    if not cluster:
        raise RuntimeError("librdkafka did not start its mock cluster.")
    for topic in (ClaimDenied.topic, DenialTriaged.topic):
        if library.rd_kafka_mock_topic_create(cluster, topic.encode(), SHARDS, 1):
            raise RuntimeError(f"librdkafka did not make the topic {topic}.")
    chosen = int(library.rd_kafka_mock_cluster_bootstraps(cluster).decode().rpartition(":")[2])
    os.dup2(listener.fileno(), _listening_descriptor(chosen))
    library.rd_kafka_mock_broker_set_host_port(cluster, _BROKER_ID, HOST.encode(), listener.getsockname()[1])
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, _JOIN_DELAY_MS)


def _listening_descriptor(port: int) -> int:
    """Find the descriptor on which this process listens at `port`."""
    for descriptor in range(3, _HIGHEST_DESCRIPTOR):
        try:
            with socket.socket(fileno=os.dup(descriptor)) as candidate:
                if candidate.getsockname()[1:2] == (port,) and candidate.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                ):
                    return descriptor
        except (OSError, TypeError):
            continue
    raise RuntimeError("The mock cluster's listening socket was not found.")


def _library() -> ctypes.CDLL:
    """Open librdkafka through the extension module that is linked against it."""
    from confluent_kafka import cimpl  # noqa: PLC0415  only this process needs the wheel

    library = ctypes.CDLL(cimpl.__file__)
    for name, result, arguments in (
        ("rd_kafka_conf_new", ctypes.c_void_p, []),
        ("rd_kafka_conf_set", ctypes.c_int, [ctypes.c_void_p, *[ctypes.c_char_p] * 3, ctypes.c_size_t]),
        ("rd_kafka_new", ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
        ("rd_kafka_mock_cluster_new", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [ctypes.c_void_p]),
        (
            "rd_kafka_mock_topic_create",
            ctypes.c_int,
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
        ),
        (
            "rd_kafka_mock_broker_set_host_port",
            None,
            [ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int],
        ),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [ctypes.c_void_p, ctypes.c_int32]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


if __name__ == "__main__":
    main()
