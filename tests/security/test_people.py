"""People sign in with tokens of their own issuer; a token that is wrong in any way opens nothing."""

import asyncio
import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import oidc_provider_mock
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from shared.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.http.app import create_app
from shared.http.probes import Health
from shared.postgres import create_engine
from shared.security import oidc, people
from shared.security.administration import create_organization
from shared.security.oidc import Person, TokenReader, token_reader
from shared.security.people import add_person, list_people, remove_person
from shared.security.principals import Authenticator
from shared.security.sealing import MasterKey
from tests.support.database import Database

AUDIENCE = "reprieve"
MASTER = MasterKey.from_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")


@dataclass
class Issuer:
    """An issuer whose keys a test may change. `asked` counts how often somebody fetched them."""

    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    asked: int = 0
    down: bool = False
    name: str = ""

    def token(
        self, key: Any = None, *, alg: str = "RS256", kid: str = "one", typ: str = "JWT", **claims: Any
    ) -> str:
        said = {"iss": self.name, "aud": AUDIENCE, "sub": "dana", "exp": time.time() + 60} | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": alg, "kid": kid, "typ": typ}, said, key or self.key, algorithms=[alg])

    def answer(self, path: str) -> dict[str, Any]:
        if path == "/keys":
            self.asked += 1
            return KeySet([self.key]).as_dict(private=False)
        return {"issuer": self.name, "jwks_uri": f"{self.name}/keys"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    one = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(one.answer(self.path)).encode()
            self.send_response(503 if one.down else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.name = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def owner(database: Database):
    engine = create_engine(database.owner, name="test")
    yield engine
    await engine.dispose()


@pytest.fixture
async def engine(database: Database):
    engine = create_engine(database.url("reprieve_tracker"), name="test")
    yield engine
    await engine.dispose()


async def listed(owner, issuer: str, subject: str = "dana", role: str = "biller"):
    made = await create_organization(owner, name="General", time_zone="America/Chicago", master_key=MASTER)
    await add_person(
        owner, issuer=issuer, subject=subject, name="Dana", role=role, organization_id=made.organization_id
    )
    return made.organization_id


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the issuer's own
async def test_a_person_signs_in_at_a_real_issuer_and_is_let_in(
    owner, engine, database, monkeypatch: pytest.MonkeyPatch
):
    with oidc_provider_mock.run_server_in_thread() as server:
        name = f"http://localhost:{server.server_port}"
        organization_id = await listed(owner, name)
        monkeypatch.setenv("REPRIEVE_OIDC_ISSUER", name)
        monkeypatch.setenv("REPRIEVE_OIDC_AUDIENCE", AUDIENCE)
        app = create_app(title="t", version="1", engine=engine, health=Health())

        @app.get("/v1/nothing")
        async def nothing() -> None:
            """Answer nothing."""

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://t") as client:
            for token, wanted in (
                (_signed_in(name), 200),
                (_signed_in(name, "a stranger"), 401),
                ("a.b.c", 401),
            ):
                answer = await client.get("/v1/nothing", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == wanted
    authenticator = app.state.authenticator
    (known,) = [one for _, one in authenticator._remembered.values()]
    assert (known.organization_id, known.role, known.name) == (organization_id, "biller", "Dana")


def _signed_in(issuer: str, subject: str = "dana") -> str:
    """Go through the authorization code flow as a browser and a client would; give the id token."""
    back = "https://worklist.example/back"
    asked = {"client_id": AUDIENCE, "redirect_uri": back, "response_type": "code", "scope": "openid"}
    sent = httpx2.post(f"{issuer}/oauth2/authorize", params=asked, data={"sub": subject})
    code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
    answer = httpx2.post(
        f"{issuer}/oauth2/token",
        data={"grant_type": "authorization_code", "code": code, "redirect_uri": back},
        auth=(AUDIENCE, "secret"),
    )
    return answer.raise_for_status().json()["id_token"]


async def test_a_good_token_names_its_person_and_the_keys_are_fetched_once(issuer: Issuer):
    reader = TokenReader(issuer.name, AUDIENCE)
    for audience in (AUDIENCE, ["another", AUDIENCE]):
        assert await reader.read(issuer.token(aud=audience)) == Person(issuer.name, "dana")
    assert issuer.asked == 1


def _signed_with_a_secret(token: str, secret: bytes) -> str:
    """Sign by hand what a library would not: the classic confusion of a public key with a shared secret."""
    head = urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    said = f"{head}.{token.split('.')[1]}"
    signature = hmac.digest(secret, said.encode(), "sha256")
    return f"{said}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


FORGED: dict[str, Callable[[Issuer], str]] = {
    "of another issuer": lambda one: one.token(iss="https://elsewhere.example"),
    "without an issuer": lambda one: one.token(iss=None),
    "for another audience": lambda one: one.token(aud="payroll"),
    "for others as well, not us": lambda one: one.token(aud=["payroll", "reprieve2"]),
    "without an audience": lambda one: one.token(aud=None),
    "expired": lambda one: one.token(exp=time.time() - 61),
    "without an end": lambda one: one.token(exp=None),
    "not valid yet": lambda one: one.token(nbf=time.time() + 120),
    "of nobody": lambda one: one.token(sub=None),
    "of an empty name": lambda one: one.token(sub=""),
    "of a number": lambda one: one.token(sub=7),
    "of an endless name": lambda one: one.token(sub="x" * 256),
    "signed by a stranger": lambda one: one.token(RSAKey.generate_key(2048)),
    "signed by a stranger's curve": lambda one: one.token(ECKey.generate_key("P-256"), alg="ES256"),
    "signed with the public key as a secret": lambda one: _signed_with_a_secret(
        one.token(), one.key.as_pem(private=False)
    ),
    "made for logging out": lambda one: one.token(typ="logout+jwt"),
    "not signed": lambda one: one.token().rsplit(".", 1)[0] + ".",
    "that says it needs no signature": lambda one: "eyJhbGciOiJub25lIn0." + one.token().split(".")[1] + ".",
    "with another's claims": lambda one: ".".join(
        [one.token().split(".")[0], one.token(sub="root").split(".")[1], one.token().split(".")[2]]
    ),
    "made of noise": lambda _: "....",
    "made of dots": lambda _: "..",
    "not of this alphabet": lambda _: "ä.ö.ü",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_a_wrong_token_names_nobody(issuer: Issuer, forge: Callable[[Issuer], str]):
    with pytest.raises(UnauthenticatedError):
        await TokenReader(issuer.name, AUDIENCE).read(forge(issuer))


async def test_new_keys_of_the_issuer_are_found_but_strangers_do_not_make_us_ask_again(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    reader = TokenReader(issuer.name, AUDIENCE)
    await reader.read(issuer.token())
    issuer.key = RSAKey.generate_key(2048, {"kid": "two"})
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await reader.read(issuer.token(kid="two"))
    assert issuer.asked == 1
    monkeypatch.setattr(oidc, "_ASK_AGAIN_SECONDS", 0.0)
    assert (await reader.read(issuer.token(kid="two"))).subject == "dana"


async def test_without_its_issuer_known_keys_serve_on_and_unknown_ones_are_waited_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    reader = TokenReader(issuer.name, AUDIENCE)
    issuer.down = True
    with pytest.raises(UnavailableError):
        await reader.read(issuer.token())
    issuer.down = False
    await reader.read(issuer.token())
    issuer.down = True
    monkeypatch.setattr(oidc, "_KEYS_SECONDS", 0.0)
    assert (await reader.read(issuer.token())).subject == "dana"


async def test_an_address_counts_only_where_the_issuer_verified_it(issuer: Issuer):
    reader = TokenReader(issuer.name, AUDIENCE, subject_claim="email")
    for claims in ({}, {"email_verified": False}, {"email_verified": "true"}):
        with pytest.raises(UnauthenticatedError):
            await reader.read(issuer.token(email="dana@general.example", **claims))

    verified = issuer.token(email="dana@general.example", email_verified=True)
    assert (await reader.read(verified)).subject == "dana@general.example"


async def test_who_shows_unknown_keys_keeps_nobody_waiting_for_the_issuer(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    reader = TokenReader(issuer.name, AUDIENCE)
    await reader.read(issuer.token())
    asked = asyncio.Event()

    async def hang(_issuer: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(oidc, "_fetch_keys", hang)
    monkeypatch.setattr(oidc, "_ASK_AGAIN_SECONDS", 0.0)
    stranger = asyncio.create_task(reader.read(issuer.token(kid="two")))
    await asked.wait()
    async with asyncio.timeout(20):
        assert (await reader.read(issuer.token())).subject == "dana"
    stranger.cancel()


async def test_an_issuer_that_talks_without_end_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oidc, "_ANSWER_BYTES_MAX", 100)
    with pytest.raises(UnavailableError):
        await TokenReader(issuer.name, AUDIENCE).read(issuer.token())


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed(issuer: Issuer):
    with pytest.raises(UnavailableError):
        await TokenReader(issuer.name + "/", AUDIENCE).read(issuer.token())


async def test_who_is_taken_off_the_list_is_out_and_may_come_back_as_somebody_else(owner, engine):
    issuer = "https://id.example"
    organization_id = await listed(owner, issuer)
    await listed(owner, issuer)  # safe to repeat
    again = {"issuer": issuer, "subject": "dana", "name": "Dana", "organization_id": organization_id}
    with pytest.raises(ConflictError):
        await add_person(owner, role="admin", **again)
    first = await _principal(engine, issuer)
    await remove_person(owner, issuer=issuer, subject="dana")
    await remove_person(owner, issuer=issuer, subject="dana")
    assert await _principal(engine, issuer) is None
    await add_person(owner, role="admin", **again)
    second = await _principal(engine, issuer)
    assert (first.role, second.role) == ("biller", "admin")
    assert first.principal_id != second.principal_id
    (one,) = await list_people(owner)
    assert (one.subject, one.role, one.organization, one.removed_at) == ("dana", "admin", "General", None)


async def _principal(engine, issuer: str):
    class Believed:
        async def read(self, _: str) -> Person:
            return Person(issuer, "dana")

    try:
        return await Authenticator(engine, Believed()).authenticate("Bearer a.b.c")
    except UnauthenticatedError:
        return None


async def test_only_people_with_a_place_get_on_the_list(owner):
    wrong = {
        "no organization": {"role": "biller"},
        "a clearinghouse": {"role": "submitter"},
        "no role": {"role": "owner"},
        "no subject": {"role": "operator", "subject": ""},
    }
    for words in wrong.values():
        with pytest.raises(InvalidInputError):
            await add_person(
                owner, **{"issuer": "i", "subject": "s", "name": "n", "organization_id": None} | words
            )
    with pytest.raises(NotFoundError):
        await remove_person(owner, issuer="i", subject="s")
    assert await people.list_people(owner) == []


@pytest.mark.parametrize("url", ["http://id.example", "ftp://id.example", "id.example"])
def test_an_issuer_is_reached_by_https(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("REPRIEVE_OIDC_ISSUER", url)
    monkeypatch.setenv("REPRIEVE_OIDC_AUDIENCE", AUDIENCE)
    with pytest.raises(InvalidInputError, match="https"):
        token_reader()


def test_an_issuer_without_an_audience_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REPRIEVE_OIDC_ISSUER", "https://id.example")
    with pytest.raises(InvalidInputError, match="AUDIENCE"):
        token_reader()
