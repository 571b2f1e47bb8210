"""People's tables: read as they were meant, or refused by row, column, rule and remedy."""

import io
import zipfile
from collections.abc import Callable
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from tests import tiny
from wine_serving import tables
from wine_serving.errors import TableRefused
from wine_serving.schema import INPUTS, MEASUREMENTS, SEGMENT, TARGET

TABLE = tiny.made_up_wines(30)[[*INPUTS, TARGET]]
WINES = tiny.as_wines(TABLE)


def csv(table: pd.DataFrame = TABLE, **options: object) -> str:
    """The table as pandas writes it."""
    text: str = table.to_csv(index=False, **options)  # type: ignore[call-overload]
    return text


def wines(table: tables.Table) -> list[dict[str, object]]:
    """What was read, as wines that the API takes."""
    return [{name: getattr(wine, name) for name in INPUTS} for wine in table.wines.values()]


def renamed(change: Callable[[str], str]) -> pd.DataFrame:
    return TABLE.rename(columns=change)


def with_units(name: str) -> str:
    return name.replace("_", "\xa0").title() + {"ph": "", TARGET: "", SEGMENT: ""}.get(name, " (g/L)")


DIALECTS: dict[str, bytes] = {
    "commas": csv().encode(),
    "semicolons": csv(sep=";").encode(),
    "tabs": csv(sep="\t").encode(),
    "decimal commas": csv(sep=";", decimal=",").encode(),
    "quoted decimal commas": csv(decimal=",", quoting=1).encode(),
    "Excel's own line": b"sep=;\r\n" + csv(sep=";", lineterminator="\r\n").encode(),
    "a mark": csv().encode("utf-8-sig"),
    "UTF-16": csv().encode("utf-16"),
    "UTF-16 without a mark": csv().encode("utf-16-le"),
    "Latin-1": csv(TABLE.assign(Château="Côte")).encode("latin-1"),
    "UCI's names": csv(renamed(lambda name: name.replace("_", " ").replace("ph", "pH")), sep=";", quoting=2).encode(),
    "OpenML's names": csv(renamed(lambda name: name.replace("_", ".").replace(TARGET, "class"))).encode(),
    "capitals, no-break spaces and units": csv(renamed(with_units)).encode(),
    "units without brackets": csv(renamed(lambda name: name + {"alcohol": " % vol"}.get(name, ""))).encode(),
    "British": csv(renamed(lambda name: name.replace("sulfur", "sulphur").replace("color", "Colour"))).encode(),
    "Id in front": csv(TABLE.reset_index(names="Id")).encode(),
    "Id at the end": csv(TABLE.assign(Id=range(30))).encode(),
    "an index without a name": csv(TABLE.reset_index(names="")).encode(),
    "row names, as R writes them": csv(TABLE.reset_index()).replace("index,", "", 1).encode(),
    "a column type": csv(TABLE[[SEGMENT, *MEASUREMENTS]].rename(columns={SEGMENT: "type"})).encode(),
    "initials": csv(TABLE.assign(color=TABLE[SEGMENT].str[0].str.upper())).encode(),
    "capitals": csv(TABLE.assign(color=TABLE[SEGMENT].str.title())).encode(),
    "empty rows": csv().replace("\n", "\n\n").encode() + b",,,\n" * 3,
    "a second header": (csv(TABLE[:10]) + csv(TABLE[10:])).encode(),
    "a title above": b"My cellar\n\n" + csv().encode(),
    "old line ends": csv(lineterminator="\r").encode(),
}


@pytest.mark.parametrize("content", DIALECTS.values(), ids=DIALECTS)
def test_table_is_read_however_it_is_written(content: bytes) -> None:
    """Every row, with the values that were meant."""
    table = tables.read(content)
    assert table.faults == []
    assert wines(table) == WINES


def xlsx(rows: list[list[object]]) -> bytes:
    """A workbook with one sheet of these cells."""

    def cell(value: object) -> str:
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        return f"<c><v>{value}</v></c>"

    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    return workbook(f"<sheetData>{lines}</sheetData>")


def workbook(inside: str, encoding: str = "utf-8") -> bytes:
    """A workbook with one sheet that holds this."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheets = '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
    relation = '<Relationship Id="r1" Type="{}/{}" Target="{}"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f"{relation.format(office, 'officeDocument', 'xl/workbook.xml')}</Relationships>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f"{relation.format(office, 'worksheet', 'worksheets/sheet1.xml')}</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">{sheets}</workbook>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}">{inside}</worksheet>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text.encode(encoding if "sheets/" in name else "utf-8"))
    return packed.getvalue()


def test_spreadsheet_is_read() -> None:
    """As the same table in CSV is."""
    assert wines(tables.read(xlsx([[*TABLE], *TABLE.to_numpy().tolist()]))) == WINES


BOMBS: dict[str, bytes] = {
    "far cell": workbook('<sheetData><row r="1"><c r="XFD1048576"><v>1</v></c></row></sheetData>'),
    "far cell, spelt otherwise": workbook(
        "<sheetData><row r = '1'><c r = '&#88;FD1048576'><v>1</v></c></row></sheetData>"
    ),
    "far cell in UTF-16": workbook('<sheetData><row><c r="XFD9"><v>1</v></c></row></sheetData>', "utf-16"),
    "many bytes": workbook("<sheetData>" + " " * tables.MAX_UNPACKED + "</sheetData>"),
    "no workbook": b"PK\x03\x04 and nothing else",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_spreadsheet_that_would_fill_the_memory_is_refused(content: bytes) -> None:
    """Before it is unpacked."""
    with pytest.raises(TableRefused, match=r"split the file|cannot be read as \.xlsx"):
        tables.read(content)


CELLS: dict[str, tuple[str, str, str]] = {
    "not measured": ("n.d.", "not_measured", "was not measured"),
    "empty": ("", "not_measured", "was not measured"),
    "below the limit": ("<0.05", "below_limit", "write a number in its place"),
    "in words": ("BDL", "below_limit", "write a number in its place"),
    "a word": ("salty", "not_a_number", "must be a number, not salty"),
    "the other decimals": ("0,05", "not_a_number", "this file writes decimals with a point"),
    "another unit": ("76", "less_than_equal", "must be at most 2 g/L as sodium chloride, but is 76: correct the value"),
    "infinite": ("inf", "not_a_number", "must be a number"),
}


@pytest.mark.parametrize(("cell", "rule", "sentence"), CELLS.values(), ids=CELLS)
def test_bad_cell_blames_itself_alone(cell: str, rule: str, sentence: str) -> None:
    """By row, column of the file, rule and remedy; every other row is a wine."""
    spoilt = TABLE.astype(object).rename(columns={"chlorides": "Chlorides [g/L]"})
    spoilt.loc[20, "Chlorides [g/L]"] = cell
    table = tables.read(csv(spoilt).encode())
    assert [fault[:3] for fault in table.faults] == [(21, "Chlorides [g/L]", rule)]
    assert sentence in table.faults[0].message
    assert wines(table) == [wine for row, wine in enumerate(WINES) if row != 20]


def test_one_row_with_too_many_cells_blames_no_other() -> None:
    """A separator at the end of every row, though, means nothing."""
    lines = csv().splitlines()
    assert wines(tables.read("\n".join(line + "," for line in lines).encode())) == WINES
    lines[5] += ",7"
    table = tables.read("\n".join(lines).encode())
    assert [(fault.row, fault.rule) for fault in table.faults] == [(5, "cells")]
    assert len(table.wines) == 29


def test_missing_column_is_named_with_candidates_and_can_be_said() -> None:
    """Never a default for the whole file."""
    other = csv(TABLE.rename(columns={"chlorides": "Salt", SEGMENT: "kind"})).encode()
    with pytest.raises(TableRefused, match="lacks chlorides, color") as refused:
        tables.read(other)
    assert refused.value.candidates == {"chlorides": ["Salt", "kind"], SEGMENT: ["Salt", "kind"]}
    assert wines(tables.read(other, said={"chlorides": "Salt", SEGMENT: "kind"})) == WINES
    bare = csv(TABLE.drop(columns=SEGMENT)).encode()
    assert {wine[SEGMENT] for wine in wines(tables.read(bare, segment="red"))} == {"red"}
    with pytest.raises(TableRefused, match="says the color itself"):
        tables.read(csv().encode(), segment="red")


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b" \n", "the file is empty"),
    "binary": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no text"),
    "junk": (bytes(range(1, 256)) * 20, "no text"),
    "no header": (b"hello\n1,2\n", "its first row must name"),
    "a page": (b"<html>not found</html>", "its first row must name"),
    "only names": (csv(TABLE[:0]).encode(), "no wines in the file"),
    "there twice": (csv(TABLE.assign(pH=1)).encode(), "the columns pH are there twice"),
    "too many rows": (csv(TABLE[:1]).encode() + b"1,2\n" * 20_100, "split the file"),
    "too many columns": (csv().encode() + b"," * 200, "split the file"),
    "one long line": (b"a" * 200_000, "cannot be read as CSV"),
    "one long line of separators": (b"," * 200_000, "split the file"),
    "an open quote": (csv().encode() + b'"' + b"1\n" * 100_000, "cannot be read as CSV"),
}


@pytest.mark.parametrize(("content", "sentence"), WRONG.values(), ids=WRONG)
def test_file_that_is_no_table_of_wines_is_refused_in_a_sentence(content: bytes, sentence: str) -> None:
    """Never a stack trace, and nothing of the file is quoted."""
    with pytest.raises(TableRefused, match=sentence):
        tables.read(content)


def test_own_names_of_wines_are_read_where_a_column_has_them() -> None:
    """As the API's answers repeat them; a name that is too long is a fault of its row."""
    named = TABLE.assign(Reference=[f"cask {row}, 1" for row in range(30)]).astype(object)
    named.loc[2, "Reference"], named.loc[3, "Reference"] = "x" * 65, ""
    table = tables.read(csv(named).encode())
    assert [(fault.row, fault.column, fault.rule) for fault in table.faults] == [(3, "Reference", "string_too_long")]
    assert [wine.reference for wine in table.wines.values()][:4] == ["cask 0, 1", "cask 1, 1", None, "cask 4, 1"]


def test_grades_are_read_where_they_are_asked_for() -> None:
    """Whole numbers on the tasters' scale; what is none is a fault of its row."""
    spoilt = TABLE.astype(object)
    spoilt.loc[3, TARGET], spoilt.loc[4, TARGET], spoilt.loc[5, TARGET] = 5.5, "good", 11
    table = tables.read(csv(spoilt).encode(), graded=True)
    assert [(fault.row, fault.column) for fault in table.faults] == [(4, TARGET), (5, TARGET), (6, TARGET)]
    assert [*table.wines] == [*table.grades] == [row for row in range(1, 31) if row not in (4, 5, 6)]
    assert table.grades[1] == TABLE[TARGET][0]


@pytest.mark.parametrize(
    "name", ["decimal commas", "Excel's own line", "quoted decimal commas", "UTF-16", "Latin-1", "commas"]
)
def test_table_comes_back_as_it_came(name: str) -> None:
    """Byte for byte, but for the columns behind its own."""
    content = DIALECTS[name]
    table = tables.read(content)
    answered, encoding = tables.written(table, ["score"], dict.fromkeys(table.rows, ("",)))
    assert encoding == table.encoding
    lines = answered.decode(encoding).splitlines()
    for line, before in zip(lines, content.decode(table.encoding).splitlines(), strict=True):
        assert line.startswith(before)


def test_text_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    """In names of columns as in cells; numbers stay numbers."""
    evil = TABLE.assign(**{"=1+1": "=HYPERLINK(1)", "note": "-2,5", "at": "@SUM(A1)", "gain": "+3"})
    table = tables.read(csv(evil).encode())
    answered = tables.written(table, ["score"], dict.fromkeys(table.rows, (6.125,)))[0].decode()
    back = pd.read_csv(io.StringIO(answered))
    assert back["'=1+1"][0] == "'=HYPERLINK(1)"
    assert (back["note"][0], back["at"][0], back["gain"][0], back["score"][0]) == ("-2,5", "'@SUM(A1)", 3, 6.125)
