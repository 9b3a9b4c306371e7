"""Whatever a sender calls a file, its name is harmless to file systems, headers and terminals."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.domain.file_kinds import KINDS, NAME_LENGTH_MAX, clean_name
from shared.http.dispositions import attachment, file_name_in


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("notes.pdf", "notes.pdf"),
        ("Notes.PDF", "Notes.pdf"),
        ("notes.pdf.exe", "notes.pdf.exe.pdf"),
        ("C:\\scans\\März  2026.pdf", "März 2026.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        (".pdf", "document.pdf"),
        ("...", "document.pdf"),
        (None, "document.pdf"),
        ('a"b\r\nSet-Cookie: x.pdf', "a b Set-Cookie x.pdf"),
        ("gnp\u202efdp.exe", "gnp fdp.exe.pdf"),
        ("x" * 500 + ".pdf", "x" * (NAME_LENGTH_MAX - 5) + ".pdf"),
    ],
)
def test_a_name_keeps_what_can_be_kept_and_ends_as_its_kind_does(sent, kept):
    assert clean_name(sent, "application/pdf") == kept


@given(name=st.text(max_size=300), kind=st.sampled_from(sorted(KINDS)))
def test_every_name_becomes_one_that_harms_nothing(name, kind):
    cleaned = clean_name(name, kind)

    assert 0 < len(cleaned) <= NAME_LENGTH_MAX
    assert cleaned.endswith(KINDS[kind].endings)
    assert not set(cleaned) & set('/\\<>:"|?*;%\0\r\n')
    assert all(unicodedata.category(one) not in {"Cc", "Cf", "Zl", "Zp"} for one in cleaned)
    assert clean_name(cleaned, kind) == cleaned
    assert file_name_in(attachment(cleaned)) == cleaned
    assert attachment(cleaned).isascii()


@given(header=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=100))
def test_no_header_is_more_than_a_name_or_none(header):
    assert isinstance(file_name_in(f"attachment; {header}"), str | None)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="notes.pdf"', "notes.pdf"),
        ("attachment; filename*=UTF-8''M%C3%A4rz.pdf", "März.pdf"),
        ('attachment; filename="MÃ¤rz.pdf"', "März.pdf"),  # UTF-8 as it is, read as Latin-1
        ("attachment", None),
        (None, None),
    ],
)
def test_the_name_is_read_in_each_form_that_clients_write(header, name):
    assert file_name_in(header) == name
