"""The way out: no name, number or trick leads inside, unless the operator said so."""

import asyncio
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime

import pytest

from services.tracker.alerts.domain.outcomes import DestinationError
from services.tracker.alerts.network import (
    ANSWER_BYTES_MAX,
    Network,
    RefusedDestinationError,
    is_public,
    read_retry_after,
)
from tests.support.ports import free_port
from tests.tracker.alerts.illness import DRIP, HANG, Answer, FakeServer

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0",  # noqa: S104  it is refused
    "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200",
    "169.254.169.254", "168.63.129.16", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1", "2001:db8::1", "fec0::1",
]  # fmt: skip


@pytest.fixture
async def names(monkeypatch):
    """Have names lead where a test says, one answer after the other; counts how often each was asked."""
    book: dict[str, list[list[str]]] = {}
    asked: list[str] = []

    resolve = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host not in book:
            return resolve(host, port, *args, **kwargs)
        asked.append(host)
        answers = book[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    book["asked"] = asked
    return book


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_of_the_inside_is_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.112.3", "2606:4700::6810:84e5", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://localhost/", "https://LOCALHOST./", "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:a9fe:a9fe]/", "https://[fd00:ec2::254]/",
        "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0/", "https://0x7f.1/",
        "https://①②⑦.0.0.1/", "https://10.0.0.1:8443/",
    ],
)  # fmt: skip
async def test_no_way_of_writing_an_inner_address_gets_through(url):
    with pytest.raises((RefusedDestinationError, DestinationError)) as refused:
        await Network(timeout_seconds=20).post(url, content=b"", headers={})

    # A spelling that this machine's resolver does not know is no destination either.
    assert str(refused.value) == "name_unknown" or "refused" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://x/", "https://", "https:///x", "//example.org",
        "https://user:word@example.org/", "https://example.org/#x", "https://example.org/" + "x" * 3000, "", "\x00", "https://exa mple/",
    ],
)  # fmt: skip
async def test_what_is_no_plain_https_address_is_refused(url):
    with pytest.raises(RefusedDestinationError):
        Network().check_url(url)


async def test_a_name_with_one_inner_address_among_others_is_refused(names):
    names["mixed.example"] = [["8.8.8.8", "10.0.0.1"]]

    with pytest.raises(RefusedDestinationError):
        await Network().addresses("mixed.example", 443)


async def test_a_name_that_answers_twice_differently_is_asked_once_and_reached_where_it_was_judged(
    names, monkeypatch, receiver
):
    monkeypatch.setattr("services.tracker.alerts.network.is_public", lambda address: address == "127.0.0.1")
    names["rebound.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    network = Network(timeout_seconds=20, verify=ssl.create_default_context())
    monkeypatch.setattr(Network, "check_url", lambda _self, url: __import__("httpx2").URL(url))

    answer = await network.post(f"http://rebound.example:{receiver.port}/x", content=b"", headers={})

    assert answer.status == 200
    assert names["asked"] == ["rebound.example"]
    assert receiver.requests[0].headers["host"] == f"rebound.example:{receiver.port}"
    with pytest.raises(RefusedDestinationError):
        await network.post(f"http://rebound.example:{receiver.port}/x", content=b"", headers={})


async def test_names_whose_servers_hang_hold_a_thread_each_and_keep_no_other_waiting(monkeypatch):
    released = threading.Event()
    asked = []

    def resolve(host, port, **_kwargs):
        asked.append(host)
        if host.startswith("hangs"):
            released.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    hanging = [f"hangs{number}.example" for number in range(40)]
    patient, quick = Network(timeout_seconds=40), Network(timeout_seconds=0.05)
    try:
        waiting = asyncio.gather(*(patient.addresses(host, 443) for host in hanging))
        tries = [quick.addresses(host, 443) for host in hanging for _ in range(3)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        well = await patient.addresses("well.example", 443)
        assert not waiting.done()
    finally:
        released.set()

    assert {one.message for one in outcomes} == {"timed_out"}
    assert well == ["8.8.8.8"]
    assert await waiting == [["8.8.8.8"]] * 40
    assert sorted(asked) == sorted([*hanging, "well.example"])


async def test_a_redirect_is_not_followed(receiver, network):
    inside = await FakeServer().start()
    receiver.always = Answer(307, headers={"location": f"{inside.url}/secret"})

    answer = await network.post(receiver.url, content=b"", headers={})
    await inside.stop()

    assert answer.status == 307
    assert inside.requests == []


async def test_plain_http_goes_to_hosts_that_the_operator_allows_only(receiver):
    with pytest.raises(RefusedDestinationError, match="not https"):
        await Network().post(receiver.url, content=b"", headers={})
    with pytest.raises(RefusedDestinationError):
        await Network(allow_hosts=("*.inside.example",)).post(receiver.url, content=b"", headers={})

    assert (
        await Network(allow_hosts=("127.0.0.*",)).post(receiver.url, content=b"", headers={})
    ).status == 200


async def test_the_name_is_in_sni_and_the_certificate_is_checked_against_it(names, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hook.test",
         "-addext", "subjectAltName=DNS:hook.test", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")],
        check=True, capture_output=True,
    )  # fmt: skip
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    seen = []
    served.sni_callback = lambda _socket, name, _context: seen.append(name)
    server = await FakeServer().start(tls=served)
    names["hook.test"] = [["127.0.0.1"]]
    names["other.test"] = [["127.0.0.1"]]
    network = Network(
        allow_hosts=("*.test",),
        timeout_seconds=20,
        verify=ssl.create_default_context(cafile=str(tmp_path / "cert")),
    )

    assert (await network.post(f"https://hook.test:{server.port}/", content=b"", headers={})).status == 200
    with pytest.raises(DestinationError, match="tls_failed"):
        await network.post(f"https://other.test:{server.port}/", content=b"", headers={})
    await server.stop()

    assert seen == ["hook.test", "other.test"]


async def test_proxies_of_the_environment_are_not_used(receiver, network, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert (await network.post(receiver.url, content=b"", headers={})).status == 200


async def test_no_more_of_an_answer_is_read_than_an_error_needs(receiver, network):
    receiver.always = Answer(500, b"x" * 1_000_000)

    assert len((await network.post(receiver.url, content=b"", headers={})).body) == ANSWER_BYTES_MAX


@pytest.mark.parametrize("illness", [HANG, DRIP])
async def test_an_answer_has_one_time_limit_for_all_of_it(receiver, hasty, illness):
    receiver.always = illness
    loop = asyncio.get_running_loop()
    begun = loop.time()

    with pytest.raises(DestinationError, match="timed_out"):
        await hasty.post(receiver.url, content=b"", headers={})
    assert loop.time() - begun < 30  # it would take a minute, or have no end


async def test_nobody_there_is_said_so(network):
    port = free_port()

    with pytest.raises(DestinationError, match="not_connected"):
        await network.post(f"http://127.0.0.1:{port}/", content=b"", headers={})
    with pytest.raises(DestinationError, match="not_connected"):
        await network.connect("127.0.0.1", port)
    with pytest.raises(RefusedDestinationError):
        await Network().connect("127.0.0.1", port)


def test_retry_after_is_read_in_both_forms():
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert read_retry_after("7", at) == 7
    assert read_retry_after("Thu, 01 Jan 2026 12:01:00 GMT", at) == 60
    assert read_retry_after("Thu, 01 Jan 2026 11:00:00 GMT", at) == 0
    assert [read_retry_after(one, at) for one in (None, "", "soon", "-3")] == [None] * 4
