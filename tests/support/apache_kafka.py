"""
Apache Kafka itself: one KRaft node from Maven Central's jars, on this machine's Java.

    python -m tests.support.apache_kafka [--port N]    runs one until Ctrl-C (`make kafka`)

The jars are fetched once into ~/.cache/reprieve/kafka-<hash of the pom>. A test that needs them skips where Java,
Maven or the jars cannot be had, except under CI, where it fails.
"""

import argparse
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from pathlib import Path

from tests.support.ports import free_port

HOST = "127.0.0.1"

_POM = Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml"
_OLDEST_JAVA = 17
_FETCH_SECONDS = 600
_START_SECONDS = 90
_STOP_SECONDS = 20


class MissingKafkaError(Exception):
    """Apache Kafka cannot run here; the text says why and what to do."""


class ApacheKafka:
    """A node whose disk is `folder` and whose address stays the same over restarts."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.jars = fetch()
        self.folder = folder
        self.port = port or free_port()
        self._controller_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._mourner: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise MissingKafkaError("Apache Kafka is not running.")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Start, formatting the disk where it is new; returns when the node takes clients."""
        if not (self.folder / "data").exists():
            self._format()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._settings)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the tests; they stop us
            )
        # Ends the node when we are killed and cannot: its standard input closes with us.
        self._mourner = subprocess.Popen(
            [sys.executable, "-c", _MOURN, str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while b"Kafka Server started" not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise MissingKafkaError(f"Apache Kafka did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop by SIGTERM, as an operator does; the disk stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop by SIGKILL, as a power cut does; the disk stays."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Lose the disk of a stopped node: it starts again as a new, empty cluster."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._mourner is not None:
            self._mourner.kill()
            self._mourner.communicate()
            self._mourner = None
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _format(self) -> None:
        self._settings.write_text(
            _PROPERTIES.format(
                host=HOST, port=self.port, controller=self._controller_port, data=self.folder / "data"
            )
        )
        # The first byte is below 0xf8, or the id could begin with a dash and be taken for an option.
        random = bytes([secrets.randbelow(0xF8)]) + secrets.token_bytes(15)
        cluster_id = urlsafe_b64encode(random).decode().rstrip("=")
        subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._settings)],
            check=True,
            capture_output=True,
        )

    def _java(self) -> list[str]:
        # As for one small machine: the second compiler would use more of the processor than the broker itself
        # for as long as our runs last.
        return [
            "java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
            f"-Dlog4j2.configurationFile={_POM.with_name('log4j2.properties')}",
            "-cp", f"{self.jars}/*",
        ]  # fmt: skip


_MOURN = "import os, sys; sys.stdin.read(); os.kill(int(sys.argv[1]), 9)"

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
# As on a server: topics are made on purpose, by `reprieve topics create`.
auto.create.topics.enable=false
num.partitions=12
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
# A killed node comes back when its former self has timed out.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# Deleted topics leave at once, so that tests can begin with empty ones.
file.delete.delay.ms=0
"""


def fetch() -> Path:
    """Give the folder of the jars, fetching them at the first time; raises MissingKafkaError where that fails."""
    _check_java()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reprieve"
    jars = cache / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if jars.is_dir():
        return jars
    if not shutil.which("mvn"):
        raise MissingKafkaError("Maven is not installed, and the jars are not in the cache. Install maven.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as partial:
        _copy_dependencies(Path(partial) / "jars")
        with contextlib.suppress(OSError):  # somebody else was faster
            (Path(partial) / "jars").rename(jars)
    return jars


def _check_java() -> None:
    try:
        version = subprocess.run(["java", "-version"], check=True, capture_output=True, text=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingKafkaError(f"Java is not installed. Install Java {_OLDEST_JAVA} or later.") from error
    found = re.search(r'version "(\d+)', version)
    if not found or int(found[1]) < _OLDEST_JAVA:
        raise MissingKafkaError(f"Java is too old. Install Java {_OLDEST_JAVA} or later.")


def _copy_dependencies(target: Path) -> None:
    try:
        subprocess.run(
            ["mvn", "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime",
             f"-DoutputDirectory={target}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = str(error.stdout or "")[-1000:]
        raise MissingKafkaError(f"Maven could not fetch Apache Kafka's jars.\n{told}") from error


def main() -> None:
    """Run a node in a temporary folder until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="tests.support.apache_kafka")
    parser.add_argument("--port", type=int, help="any free port by default")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("Fetching Apache Kafka, unless it is in the cache …", flush=True)
    with tempfile.TemporaryDirectory(prefix="reprieve-kafka-") as folder:
        try:
            node = ApacheKafka(Path(folder), port=port)
        except MissingKafkaError as error:
            sys.exit(str(error))
        try:
            node.start()
            print(f"ready {node.bootstrap}  (log: {node.log}; Ctrl-C stops it)", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            pass
        except MissingKafkaError as error:
            sys.exit(str(error))
        finally:
            node.stop()


if __name__ == "__main__":
    main()
