"""A table of wines as people send it: read as it was meant, or refused in a sentence."""

import pytest

from tests import tiny
from wine_ui.client import Schema
from wine_ui.table import NotATable, read, template


@pytest.mark.parametrize(
    ("content", "sentence"),
    {
        "empty": (b" \n", "the file is empty"),
        "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", "this is no text file"),
        "junk": (bytes(range(1, 256)) * 20, "this is no text file"),
        "no delimiter": (b"fixed_acidity/ph\n7/3\n", "not separated by semicolons"),
        "no header": (b"hello\n", "its first row holds no column names"),
        "columns missing": (b"alcohol,ph\n10,3\n", "the columns fixed_acidity, .* are missing"),
        "there twice": (
            b";".join(name.encode() for name in [*tiny.CENTERS, "ph"]) + b"\n",
            "the columns ph are there twice",
        ),
        "open quote": (
            b'";"'.join(name.encode() for name in tiny.CENTERS) + b'\n"1;2\n',
            "cannot be read as CSV|are missing",
        ),
        "too large": (b"alcohol;ph\n" * 1_000_000, "larger than 10 MB"),
    }.values(),
)
def test_file_that_is_no_table_of_wines_is_refused(content: bytes, sentence: str, schema: Schema) -> None:
    """A clear sentence each."""
    with pytest.raises(NotATable, match=sentence):
        read(content, schema)


def test_template_can_be_scored(schema: Schema) -> None:
    """What we offer is what we take."""
    assert len(read(template(schema).encode(), schema)[0]) == len(schema["presets"])


def test_cells_never_slip_into_another_column(schema: Schema) -> None:
    """A separator at the end changes nothing; a row with too many cells is named and the others stand."""
    names, wine = ",".join(tiny.CENTERS), ",".join(str(mean) for mean, _ in tiny.CENTERS.values())
    table, problems = read(f"{names}\n{wine},\n{wine.replace('.', ',')}\n\n{wine}\n".encode(), schema)
    assert table.astype(float).iloc[0].to_list() == [mean for mean, _ in tiny.CENTERS.values()]
    assert list(table.loc[1]) == list(table.loc[3])
    assert list(problems) == [2]
    assert "but 11 columns" in problems[2]


def test_unicode_as_spreadsheets_export_it_is_read(schema: Schema) -> None:
    """With or without a mark at its beginning."""
    text = template(schema)
    tables = [read(text.encode(encoding), schema)[0] for encoding in ("utf-8", "utf-8-sig", "utf-16")]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
