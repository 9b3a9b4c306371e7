"""
Rows as spreadsheets read them: CSV (RFC 4180) and XLSX (ECMA-376), written while they come.

A cell that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection): it
begins with = + - @, also in the full width of East Asian keyboards, a tab or a line end. Numbers and dates of
ours are no such text and stay as they are. An XLSX is a zip of XML: rows are compressed as they come, with no
temporary file, and no table of strings grows.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from services.tracker.domain.amounts import in_cents

BOM = "\ufeff"
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, 2.2
XLSX_ROWS_MAX = 1_048_576
CELL_CHARACTERS_MAX = 32_767


def defused(text: str) -> str:
    """Let a text be a text, whatever it begins with, also behind characters that are not written."""
    return f"'{text}" if _UNWRITABLE.sub("", text).startswith(_FORMULA) else text


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return in_cents(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as CSV."""
    written = io.StringIO()
    writer = csv.writer(written)
    for row in rows:
        writer.writerow([defused(one) if isinstance(one, str) else _plain(one) for one in row])
    return written.getvalue()


class XlsxWriter:
    """Writes one sheet, its first row frozen. What is written so far is taken away by `taken`."""

    def __init__(self, header: Sequence[str]) -> None:
        self._written = _Sink()
        self._zip = zipfile.ZipFile(self._written, "w", zipfile.ZIP_DEFLATED)
        for name, part in _PARTS.items():
            self._zip.writestr(name, part)
        self._sheet = self._zip.open("xl/worksheets/sheet1.xml", "w", force_zip64=True)
        self._sheet.write(_SHEET_BEGINS.encode())
        self.add([header])

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        self._sheet.write("".join(map(_row, rows)).encode())

    def end(self) -> None:
        self._sheet.write(b"</sheetData></worksheet>")
        self._sheet.close()
        self._zip.close()

    def taken(self) -> bytes:
        """Give what was written since the last time."""
        return self._written.taken()


class _Sink(io.RawIOBase):
    """A file that only grows, for zipfile to write to; it is not seekable."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, written: Any) -> int:
        self._parts.append(bytes(written))
        return len(written)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _row(values: Sequence[Any]) -> str:
    return f"<row>{''.join(map(_cell, values))}</row>"


def _cell(value: Any) -> str:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return f"<c><v>{value:f}</v></c>" if isinstance(value, Decimal) else f"<c><v>{value}</v></c>"
    text = defused(value) if isinstance(value, str) else _plain(value)
    text = escape(_UNWRITABLE.sub("", text[:CELL_CHARACTERS_MAX]))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>' if text else "<c/>"


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
    '<sheets><sheet name="cases" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
_SHEET_BEGINS = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    "<sheetData>"
)
