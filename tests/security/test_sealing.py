"""What is sealed opens only where it was sealed, unchanged; indexes find equal people and nothing else."""

import base64
import hmac
import os
import threading
from datetime import date
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.contracts.claim import SealedPerson
from shared.contracts.person import Person
from shared.errors import InvalidInputError
from shared.security.sealing import (
    MasterKey,
    Sealer,
    member_id_index_text,
    month_of,
    name_index_text,
    open_person,
    seal_person,
)

ORGANIZATION = UUID("11111111-1111-4111-8111-111111111111")
NOVEMBER = date(2026, 11, 1)
DATA_KEY, INDEX_KEY = bytes(range(32)), bytes(range(32, 64))


def sealer(organization: UUID = ORGANIZATION, month: date = NOVEMBER, index_key: bytes = INDEX_KEY) -> Sealer:
    return Sealer(organization_id=organization, month=month, data_key=DATA_KEY, index_key=index_key)


words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
people = st.builds(
    Person, last=words, first=words, middle=words, suffix=words, id_qualifier=words, member_id=words
)


@given(people)
def test_every_person_comes_out_as_they_went_in(person: Person):
    sealed = seal_person(person, sealer())
    if person == Person():
        assert sealed == SealedPerson()
    else:
        assert sealed.sealed is not None
        assert open_person(sealed.sealed, sealer()) == person


@given(st.binary(max_size=200), st.data())
def test_a_sealed_value_opens_only_unchanged(plaintext: bytes, data: st.DataObject):
    sealed = sealer().seal(plaintext)
    assert sealer().open(sealed) == plaintext
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    assume(other != sealed[at])
    with pytest.raises(InvalidInputError):
        sealer().open(sealed[:at] + other + sealed[at + 1 :])
    with pytest.raises(InvalidInputError):
        sealer().open(sealed[:at])


def test_only_the_one_spelling_of_a_sealed_value_opens():
    sealed = sealer().seal(b"")  # 28 bytes: the last character before == has four bits that mean nothing
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    loose = alphabet[alphabet.index(sealed[-3]) ^ 1]
    for respelled in (
        sealed[:-3] + loose + "==",
        sealed[:20] + "\n" + sealed[20:],
        sealed + "=",
        sealed + "!",
    ):
        with pytest.raises(InvalidInputError):
            sealer().open(respelled)


def test_the_same_keys_do_not_open_for_another_organization_or_month():
    sealed = sealer().seal(b"secret")
    with pytest.raises(InvalidInputError, match="another organization") as failure:
        sealer(organization=uuid4()).open(sealed)
    assert "secret" not in str(failure.value)
    with pytest.raises(InvalidInputError, match="another month"):
        sealer(month=date(2026, 12, 1)).open(sealed)
    # a value whose month was rewritten does not open either
    with pytest.raises(InvalidInputError, match="changed"):
        sealer(month=date(2026, 12, 1)).open(sealed.replace("s1.202611", "s1.202612"))


def test_two_seals_of_one_text_differ_and_tell_their_month():
    first, second = sealer().seal(b"x"), sealer().seal(b"x")
    assert first != second
    assert first.startswith("s1.202611.")
    assert month_of(first) == NOVEMBER
    for wrong in ("", "s1.202613.AAAA", "s1.000001.AAAA", "s2.202611.AAAA", "DOE*JOHN"):
        with pytest.raises(InvalidInputError, match="not a sealed value"):
            month_of(wrong)


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(exclude_categories=["Cs"])))
def test_an_index_is_a_truncated_hmac_sha256(key: bytes, text: str):
    assert sealer(index_key=key).index(text) == hmac.digest(key, text.encode(), "sha256")[:16].hex()


def test_an_index_is_the_same_in_every_month_and_differs_between_organizations():
    doe = Person(last="Doe", first="Jane", member_id="w1234-56789")
    here = seal_person(doe, sealer())
    later = seal_person(doe, sealer(month=date(2027, 1, 1)))
    elsewhere = seal_person(doe, sealer(organization=uuid4(), index_key=os.urandom(32)))
    assert (here.name_index, here.member_id_index) == (later.name_index, later.member_id_index)
    assert here.name_index != elsewhere.name_index
    assert here.member_id_index != elsewhere.member_id_index
    assert len(here.name_index or "") == len(bytes.fromhex(here.name_index or "")) * 2 == 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("O'Brien", "Mary Ann"), ("OBRIEN", "maryann")),
        (("Núñez", "José"), ("NUNEZ", "JOSE")),
        (("Doe", ""), ("DOE", None)),
    ],
)
def test_spellings_of_one_name_share_an_index(one, other):
    assert name_index_text(*one) == name_index_text(*other)


def test_different_people_do_not_share_an_index():
    assert name_index_text("DOE", "JOHN") != name_index_text("DOEJ", "OHN")
    assert member_id_index_text("abc-123 4") == "ABC1234"
    assert name_index_text(None, "") is None
    assert member_id_index_text("--") is None


def test_without_keys_a_person_is_empty():
    assert seal_person(Person(last="DOE"), None) == SealedPerson()


def test_nothing_of_a_person_shows_in_reprs_or_in_the_sealed_form():
    doe = Person(last="PLANTEDDOE", first="JANE", member_id="W123456789")
    sealed = seal_person(doe, sealer())
    shown = repr(doe) + repr(sealed) + repr(sealer()) + msgspec.json.encode(sealed).decode()
    assert "PLANTEDDOE" not in shown
    assert "W123456789" not in shown


def test_threads_may_share_a_sealer():
    shared, failures = sealer(), []

    def work() -> None:
        for number in range(300):
            text = str(number).encode()
            if shared.open(shared.seal(text)) != text:
                failures.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=60))
def test_a_master_key_unwraps_what_it_wrapped_in_the_same_context(key: bytes, context: bytes):
    master = MasterKey.from_text(base64.b64encode(key).decode())
    wrapped = master.wrap(DATA_KEY, context=context)
    assert master.unwrap(wrapped, context=context) == DATA_KEY
    for wrong in (
        lambda: master.unwrap(wrapped, context=context + b"x"),
        lambda: master.unwrap(wrapped[:-1], context=context),
        lambda: MasterKey(bytes([key[0] ^ 1]) + key[1:]).unwrap(wrapped, context=context),
    ):
        with pytest.raises(InvalidInputError, match="REPRIEVE_MASTER_KEY"):
            wrong()


@pytest.mark.parametrize("text", ["", "short", "not base64!", "MDEyMw==", "Ünïcode"])
def test_a_wrong_master_key_is_refused_without_showing_it(text: str):
    with pytest.raises(InvalidInputError, match="openssl rand -base64 32") as failure:
        MasterKey.from_text(text)
    assert text == "" or text not in failure.value.message
