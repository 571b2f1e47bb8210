"""Tables that people have: any CSV or .xlsx as wines, and what cannot be one by row, column, rule and remedy.

What holds for a file is found out once and for all of it: its encoding, what separates its cells, how it writes
decimals, which column holds what. No cell is read by guessing, and one bad cell blames no other row.
"""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import ValidationError

from wine_serving.errors import TableRefused
from wine_serving.schema import (
    ALIASES,
    INPUTS,
    MEASUREMENTS,
    SEGMENT,
    SEGMENTS,
    TARGET,
    TARGET_RANGE,
    Asked,
    Quick,
    cut,
    parts_fit,
    problems,
)

MAX_BYTES: Final = 10_000_000
MAX_ROWS: Final = 20_000
MAX_COLUMNS: Final = 100
MAX_UNPACKED: Final = 30_000_000  # bytes of an .xlsx, which is a zip
TOLD_FAULTS: Final = 100
REFERENCE: Final = "reference"  # a column with the caller's own names
PREDICTION: Final = "prediction_id"
SCORED: Final = frozenset(("score", "low", "high", PREDICTION))  # columns of a table that this service has scored
HEADER_WITHIN: Final = 20  # rows: titles may stand above the column names
HEADER_LENGTH: Final = 100_000  # characters that column names may have together; the csv module reads no longer cells
NOT_MEASURED: Final = frozenset((
    *("", "-", "--", "–", "—", ".", "?", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nil", "nd", "n.d.", "nm"),
    *("n.m.", "not measured", "not determined", "not tested", "not analysed", "not analyzed", "missing", "pending"),
))  # fmt: skip
BELOW: Final = re.compile(r"[<≤].*|bdl|b\.d\.l\.|lod|<?loq|below .*|traces?|tr\.?|not detected|n\.?q\.?", re.IGNORECASE)
_POINT: Final = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+(?=\.))?(\.\d*)?([eE][-+]?\d+)?")
_COMMA: Final = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+(?=,))?(,\d*)?([eE][-+]?\d+)?")
_PLAIN: Final = re.compile(r"[0-9]+(\.[0-9]+)?")  # as most cells are
_UNITS: Final = re.compile(r"(in|g|mg|k?g|per|dm3|m?l|100ml|cm3|vol|percent|pct|as|abv|acid|units?)*")


class Fault(NamedTuple):
    """Why a row (1 is the first below the column names) cannot be scored: column, the rule it breaks, what to do."""

    row: int
    column: str
    rule: str
    message: str


class Graded(NamedTuple):
    """A row of grades: what it calls its wine, the wine where the row holds one, and the grade or why there is none."""

    prediction_id: str
    reference: str
    wine: Asked | None
    grade: int | None
    why: str


@dataclass
class Table:
    """A file as it was read: its cells as they stand there, what is a wine, and what is wrong with all else."""

    header: list[str]
    rows: dict[int, list[str]]  # by number, without empty rows and repeated column names
    columns: dict[str, int]  # of the contract → where it stands in a row
    decimal: str = "."
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    newline: str = "\n"
    says_separator: bool = False
    quoted: tuple[bool, bool] = (False, False)  # whether every column name, and every cell, is
    wines: dict[int, Asked] = field(default_factory=dict)
    grades: dict[int, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read(
    content: bytes,
    *,
    said: Mapping[str, str] | None = None,
    segment: str | None = None,
    graded: bool = False,
    most: int = MAX_ROWS,
) -> Table:
    """The wines in a file, with grades where they are asked for; TableRefused when it is no table of wines.

    `said` maps names of the contract to columns of the file, `segment` is what all wines are where no column says, and
    `most` is how many rows there may be.
    """
    table = _sheet(content, most) if content.startswith(b"PK\x03\x04") else _text(content, most)
    if segment is not None and segment not in SEGMENTS:
        raise TableRefused(f"{SEGMENT} must be one of {', '.join(SEGMENTS)}, not {cut(segment)}")
    wanted = (*INPUTS, TARGET) if graded else INPUTS
    table.columns = _columns(table.header, said or {}, wanted, segment)
    if graded:
        _check_tasters(table)
    table.rows = {number: row for number, row in table.rows.items() if not _is_header(row, table)}
    if len(table.rows) > most:
        raise _too_much(most)
    if not table.rows:
        raise TableRefused("there are column names but no wines in the file")
    table.decimal = _decimal(table)
    for number, row in table.rows.items():
        faults = [*_judged(table, number, row, segment, graded=graded)]
        table.faults += faults
        if faults:
            table.wines.pop(number, None)
    return table


def read_grades(content: bytes, *, most: int = MAX_ROWS) -> dict[int, Graded]:
    """The rows of a table of grades by number; a row may name its wine instead of repeating all measurements."""
    table = _sheet(content, most) if content.startswith(b"PK\x03\x04") else _text(content, most)
    table.columns = _columns(table.header, {}, (TARGET,), None)
    _check_tasters(table)
    names = [*map(_name, table.header)]
    table.columns |= {each: names.index(_name(each)) for each in (PREDICTION, REFERENCE) if _name(each) in names}
    try:
        measured = _columns(table.header, {}, INPUTS, None)
    except TableRefused:
        measured = {}
    if not measured and len(table.columns) == 1:
        raise TableRefused(
            f"the file does not say which wines its grades are of: add a column {PREDICTION} or {REFERENCE}, or all "
            f"of {', '.join(INPUTS)}"
        )
    table.columns |= measured
    table.rows = {number: row for number, row in table.rows.items() if not _is_header(row, table)}
    table.decimal = _decimal(table)
    return {number: _graded(table, number, row, whole=bool(measured)) for number, row in table.rows.items()}


def told(faults: Sequence[Fault]) -> str:
    """The first faults, a line each."""
    lines = "\n".join(f"  row {fault.row}: {fault.message}" for fault in faults[:TOLD_FAULTS])
    more = f"\n  … and {len(faults) - TOLD_FAULTS} more" if len(faults) > TOLD_FAULTS else ""
    return f"{lines}{more}\nRow 1 is the first below the column names."


# From bytes to cells


def _text(content: bytes, most: int) -> Table:
    text, encoding = _decoded(content)
    mark = re.match(r'\s*"?sep=(.)"?[ ;,\t]*\r?\n', text, re.IGNORECASE)
    body = text[mark.end() :] if mark else text
    delimiter = mark[1] if mark else _delimiter(body)
    grid = _cells(body, delimiter, most)
    header, rows = _split(grid)
    newline = "\r\n" if "\r\n" in body else "\n"
    lines, filled = ([row for row in each[:HEADER_WITHIN] if row] for each in (body.splitlines(), grid))
    quoted = [line.count('"') >= 2 * len(cells) for line, cells in zip(lines, filled, strict=False)]
    return Table(
        header, rows, {}, encoding=encoding, delimiter=delimiter, newline=newline, says_separator=bool(mark),
        quoted=(quoted[0], all(quoted)),
    )  # fmt: skip


def _decoded(content: bytes) -> tuple[str, str]:
    """Unicode of any kind, or what a spreadsheet in Western Europe writes."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif content[1:200:2].count(0) > len(content[1:200:2]) // 2:
        encoding = "utf-16-le"
    elif content[:200:2].count(0) > len(content[:200:2]) // 2:
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252" if not set(content) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
        text = content.decode(encoding)
    strange = sum(not (sign.isprintable() or sign.isspace() or sign == "\ufeff") for sign in text[:100_000])
    if "\x00" in text or strange > len(text[:100_000]) // 100:
        raise TableRefused("the file is no text: save the table as CSV or .xlsx")
    if not text.strip():
        raise TableRefused("the file is empty")
    return text, encoding


def _delimiter(text: str) -> str:
    """What separates the column names: what makes most of them known, in one of the first rows."""
    lines = [line[:HEADER_LENGTH] for line in text.splitlines() if line.strip()][:HEADER_WITHIN]

    def known(delimiter: str) -> tuple[int, int]:
        heads = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
        return max((len({*map(_name, head)} & _HEADS), len(head)) for head in heads)

    return max(";,\t|", key=known)


def _cells(text: str, delimiter: str, most: int) -> list[list[str]]:
    grid: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            grid.append(row)
            if len(row) > MAX_COLUMNS or len(grid) > most + HEADER_WITHIN:
                raise _too_much(most)
    except csv.Error:
        raise TableRefused(
            f"line {reader.line_num} cannot be read as CSV: look for a quotation mark without its pair"
        ) from None
    return grid


def _too_much(most: int) -> TableRefused:
    return TableRefused(f"a table may have {most:,} rows and {MAX_COLUMNS} columns: split the file")


def _sheet(content: bytes, most: int) -> Table:
    """The first sheet of an .xlsx that holds anything."""
    from python_calamine import CalamineError, CalamineWorkbook

    _check_unpacked(content, most)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        grids = (workbook.get_sheet_by_index(number).to_python() for number in range(len(workbook.sheet_names)))
        grid = next((grid for grid in grids if grid), [])
    except CalamineError:
        raise TableRefused("the file cannot be read as .xlsx: save it again, or as CSV") from None
    header, rows = _split([[_shown(cell) for cell in row] for row in grid])
    return Table(header, rows, {})


def _check_unpacked(content: bytes, most: int) -> None:
    """Refuse what would not fit in memory: a reader makes room for every cell up to the last."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED:
                raise _too_much(most)
            for name in packed.namelist():  # any of them may be the sheet, whatever it is called
                _check_cells(packed.read(name), most)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error):
        raise TableRefused("the file cannot be read as .xlsx: save it again, or as CSV") from None


def _check_cells(part: bytes, most: int) -> None:
    wide = part.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<"))
    if b"sheetData" not in part and not wide:
        return  # it holds no cells
    places = {*re.findall(rb"""\br\s*=\s*["']([^"'<>]{1,40})["']""", part)}
    if wide or any(b"&" in place for place in places):
        raise TableRefused("the file cannot be read as .xlsx: save it again, or as CSV")
    found = [match for place in places if (match := re.fullmatch(rb"([A-Za-z]*)(\d+)", place))]
    widest = max((_column_number(match[1].upper()) for match in found), default=0)
    if widest > MAX_COLUMNS or any(len(match[2]) > 9 or int(match[2]) > most + HEADER_WITHIN for match in found):
        raise _too_much(most)


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters[:4]:
        number = number * 26 + letter - 64
    return number


def _shown(cell: object) -> str:
    """A spreadsheet's cell as text: whole numbers without a fraction."""
    return f"{cell:.15g}" if isinstance(cell, float) else str(cell)


# What the columns are


def _name(text: str) -> str:
    """A column name without capitals, units, and all that stands between words, in one spelling.

    >>> [_name(text) for text in ("Free Sulphur Dioxide [mg/l]", "free.sulfur_dioxide")]
    ['freesulfurdioxide', 'freesulfurdioxide']
    """
    plain = re.sub(r"[(\[{].*", "", text).casefold().replace("sulph", "sulf").replace("so2", "sulfurdioxide")
    return re.sub(r"[^a-z0-9%]", "", plain)


_NAMES: Final = {_name(name): name for name in (*INPUTS, TARGET)}
_OTHER_NAMES: Final = {_name(alias): name for name, aliases in ALIASES.items() for alias in aliases}
_HEADS: Final = frozenset((*_NAMES, *_OTHER_NAMES, *map(_name, (PREDICTION, REFERENCE))))


def _meant(text: str) -> str | None:
    """The contract's name for a column, if it is one of ours: by its name, or by its name and a unit."""
    name = _name(text)
    if name in _NAMES:
        return _NAMES[name]
    known = max((each for each in _NAMES if name.startswith(each)), key=len, default=None)
    return _NAMES[known] if known and _UNITS.fullmatch(name.removeprefix(known).replace("%", "")) else None


def _split(grid: list[list[str]]) -> tuple[list[str], dict[int, list[str]]]:
    """The column names, and the rows below by number; a column of row names may have no name of its own."""
    heads = [sum(_meant(cell) is not None or _name(cell) in _HEADS for cell in row) for row in grid[:HEADER_WITHIN]]
    if not heads or max(heads) < 2:
        raise TableRefused(f"the file is no table of wines: its first row must name {', '.join(INPUTS)}")
    place = heads.index(max(heads))
    header = [cell.strip("\ufeff \t\xa0") for cell in grid[place]]
    while (
        header and not header[-1] and not any(row[len(header) - 1 :] and row[len(header) - 1] for row in grid[place:])
    ):
        header.pop()
    below = {number: row for number, row in enumerate(grid[place + 1 :], 1) if any(cell.strip() for cell in row)}
    if below and all(len(row) == len(header) + 1 and row[-1].strip() for row in below.values()):
        header = ["", *header]
    return header, below


def _is_header(row: Sequence[str], table: Table) -> bool:
    cells = (row[place] for place in table.columns.values() if place < len(row))
    named = sum(not "0" <= cell[:1] <= "9" and _meant(cell) is not None for cell in cells)  # none begins with a digit
    return named > len(table.columns) // 2


def _columns(
    header: Sequence[str], said: Mapping[str, str], wanted: Sequence[str], segment: str | None
) -> dict[str, int]:
    """Where each wanted column stands; TableRefused names what is missing, or there twice."""
    for name, column in said.items():
        if name not in wanted or column not in header:
            raise TableRefused(f"column.{cut(name)}={cut(column)} is no pair of a known name and a column of the file")
    found: dict[str, list[int]] = {name: [header.index(column)] for name, column in said.items()}
    for place, column in enumerate(header):
        if (meant := _meant(column)) and meant not in said:
            found.setdefault(meant, []).append(place)
    for place, column in enumerate(header):
        if (other := _OTHER_NAMES.get(_name(column))) and other not in found:
            found[other] = [place]
    if twice := [header[places[1]] for name, places in found.items() if name in wanted and len(places) > 1]:
        raise TableRefused(f"the columns {', '.join(twice)} are there twice: keep one of each")
    if segment is not None and SEGMENT in found:
        raise TableRefused(f"the file says the {SEGMENT} itself, in {header[found[SEGMENT][0]]}: do not say another")
    missing = [name for name in wanted if name not in found and not (name == SEGMENT and segment is not None)]
    if missing:
        free = [column for place, column in enumerate(header) if column and [place] not in found.values()]
        raise TableRefused(
            f"the file lacks {', '.join(missing)}: add the columns, or say which they are",
            dict.fromkeys(missing, free[:TOLD_FAULTS]),
        )
    names = [*map(_name, header)]
    named = {REFERENCE: names.index(REFERENCE)} if REFERENCE in names else {}
    return {name: places[0] for name, places in found.items() if name in wanted} | named


def _check_tasters(table: Table) -> None:
    """Refuse to take for tasters' grades what this service has put beside its scores."""
    column = table.header[table.columns[TARGET]]
    if _name(column) == "grade" and {*table.header} >= SCORED and "grade_predicted" not in table.header:
        raise TableRefused(
            f"the column {column} is what the model has said, as the file has been scored: add a column {TARGET} "
            "with what tasters said"
        )


# What the cells say


def _decimal(table: Table) -> str:
    """The sign before decimals, as most numbers of the file have it."""
    places = [place for name, place in table.columns.items() if name not in (SEGMENT, REFERENCE, PREDICTION)]
    cells = (row[place].strip() for row in table.rows.values() for place in places if place < len(row))
    signs = Counter("," if cell.rfind(",") > cell.rfind(".") else "." for cell in cells if "," in cell or "." in cell)
    return "," if signs[","] > signs["."] else "."


def _number(cell: str, decimal: str) -> float | str:
    """The number in a cell, or why there is none: a rule and a sentence, as `RULE: SENTENCE`."""
    if decimal == "." and _PLAIN.fullmatch(cell):
        return float(cell)
    form = _COMMA if decimal == "," else _POINT
    text = cell if form.fullmatch(cell) else re.sub(r"[\s\xa0\u202f'’]", "", cell)
    if text.casefold() in NOT_MEASURED or cell.strip().casefold() in NOT_MEASURED:
        return "not_measured: was not measured: leave the row out, or complete it"
    if BELOW.fullmatch(cell.strip()):
        return f"below_limit: says {cut(cell.strip())}, below what the laboratory can tell: write a number in its place"
    if not form.fullmatch(text) or not any(sign.isdigit() for sign in text):
        sign = "a comma" if decimal == "," else "a point"
        return f"not_a_number: must be a number, not {cut(cell.strip())}: this file writes decimals with {sign}"
    plain = text.replace(".", "").replace(",", ".") if decimal == "," else text.replace(",", "")
    return float(plain)


_INITIALS: Final = {segment[0]: segment for segment in SEGMENTS if sum(each[0] == segment[0] for each in SEGMENTS) == 1}


def _segment(cell: str) -> str:
    text = cell.strip().casefold().removesuffix(" wine").removesuffix(" wines")
    return text if text in SEGMENTS else _INITIALS.get(text, cell.strip())


def _judged(table: Table, number: int, row: list[str], segment: str | None, *, graded: bool) -> Iterator[Fault]:
    """What is wrong with a row; where nothing is, its wine is kept, and its grade."""
    if too_many := _too_many(table, number, row):
        yield too_many
        return
    cells = {name: row[place] if place < len(row) else "" for name, place in table.columns.items()}
    given: dict[str, Any] = {SEGMENT: segment or _segment(cells[SEGMENT])}
    if named := cells.get(REFERENCE, "").strip():
        given[REFERENCE] = named
    for name in MEASUREMENTS:
        value = _number(cells[name], table.decimal)
        if isinstance(value, str):
            rule, _, sentence = value.partition(": ")
            yield Fault(number, table.header[table.columns[name]], rule, f"{name} {sentence}")
        else:
            given[name] = value
    if graded:
        yield from _grade(table, number, cells[TARGET])
    try:
        wine = msgspec.convert(given, Quick)
    except msgspec.ValidationError:
        yield from _broken(table, number, given)
    else:
        table.wines[number] = wine
        if not parts_fit([wine]):
            yield from _broken(table, number, given)


def _too_many(table: Table, number: int, row: list[str]) -> Fault | None:
    if not any(cell.strip() for cell in row[len(table.header) :]):
        return None
    counts = f"there are {len(row)} cells, but {len(table.header)} columns"
    return Fault(number, "", "cells", f"{counts}: quote decimals with a comma, or write them with a point")


def _grade(table: Table, number: int, cell: str) -> Iterator[Fault]:
    """What is wrong with a grade; where nothing is, it is kept."""
    value, (low, high) = _number(cell, table.decimal), TARGET_RANGE
    column = table.header[table.columns[TARGET]]
    if isinstance(value, str):
        rule, _, sentence = value.partition(": ")
        yield Fault(number, column, rule, f"{TARGET} {sentence}")
    elif low <= value <= high and value == int(value):
        table.grades[number] = int(value)
    else:
        sentence = f"{TARGET} must be a whole grade from {low} to {high}, not {value:g}"
        yield Fault(number, column, "grade", sentence)


def _graded(table: Table, number: int, row: list[str], *, whole: bool) -> Graded:
    """A row of grades; what is wrong with its measurements does not matter where it names its wine."""
    cells = {name: row[place].strip() if place < len(row) else "" for name, place in table.columns.items()}
    too_many = _too_many(table, number, row)
    faults = [too_many] if too_many else [*_grade(table, number, cells[TARGET])]
    wine = None
    if whole and not [*_judged(table, number, row, None, graded=False)]:
        wine = table.wines[number]
    why = faults[0].message if faults else ""
    return Graded(cells.get(PREDICTION, ""), cells.get(REFERENCE, ""), wine, table.grades.get(number), why)


def _broken(table: Table, number: int, given: dict[str, Any]) -> Iterator[Fault]:
    try:
        Asked.model_validate(given)
    except ValidationError as error:
        rules = [detail["type"] for detail in error.errors(include_url=False)]
        for rule, problem in zip(rules, problems(error), strict=True):
            if rule != "missing" and problem.field:  # what is missing has been told
                column = table.header[table.columns[problem.field]] if problem.field in table.columns else problem.field
                yield Fault(number, column, rule, f"{problem.message}: correct the value, or its unit")


# Back to the file


def written(table: Table, names: Sequence[str], answers: Mapping[int, Sequence[object]]) -> tuple[bytes, str]:
    """The file as it came, with columns behind its own, and its encoding.

    Text that a spreadsheet would run is made harmless. What its encoding cannot write is written in UTF-8.
    """
    taken = {*table.header}
    added = [f"{name}_predicted" if name in taken else name for name in names]
    out = io.StringIO(newline="")
    if table.says_separator:
        out.write(f"sep={table.delimiter}{table.newline}")
    head, cells = (
        csv.writer(out, delimiter=table.delimiter, lineterminator=table.newline, quoting=quoting)
        for quoting in (csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL for quoted in table.quoted)
    )
    head.writerow([*map(harmless, table.header), *added])
    width = len(table.header)
    for number, row in table.rows.items():
        own = [harmless(cell) for cell in (row + [""] * width)[:width]]
        cells.writerow([*own, *(_written(value, table.decimal) for value in answers[number])])
    text = out.getvalue()
    try:
        return text.encode(table.encoding), table.encoding
    except UnicodeEncodeError:
        return text.encode("utf-8-sig"), "utf-8-sig"


def _written(value: object, decimal: str) -> str:
    return f"{value:.4g}".replace(".", decimal) if isinstance(value, float) else str(value)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    runs = (len(cell) > 1 and cell.lstrip()[:1] in ("=", "+", "-", "@")) or cell[:1] in ("\t", "\r")
    return f"'{cell}" if runs and all(isinstance(_number(cell, decimal), str) for decimal in ".,") else cell
