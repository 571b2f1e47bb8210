"""What comes in a body: gathered within bounds of length and time, and held against the contract.

msgspec says yes, in a sixth of the time; whatever it does not like is judged, and explained, by pydantic.
"""

import asyncio
import json
import re
import time
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import Annotated, Any, Final, NoReturn

import msgspec
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.types import Receive

from wine_serving.errors import RequestRefused
from wine_serving.schema import BATCH_LIMIT, INPUTS, Asked, Problem, Quick, cut, parts_fit, problems

WINE_BYTES: Final = 64 * 1024
BATCH_BYTES: Final = 8 * 1024 * 1024  # 10,000 wines take about 3 MB
MOST_PROBLEMS: Final = 100  # are looked for, and told
MOST_COMMAS: Final = 80 * BATCH_LIMIT  # 10,000 wines have 12 each, and each may have a reference that consists of them
PATIENCE: Final = 10.0  # seconds without a byte of the body

_not_ours: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_one: Final = msgspec.json.Decoder(Quick).decode
_wines: Final = Annotated[list[Quick], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)]  # type: ignore[valid-type]
_Many: Any = msgspec.defstruct("_Many", [("wines", _wines)], forbid_unknown_fields=True)
_many: Final = msgspec.json.Decoder(_Many).decode
_reference: Final[Callable[[Asked], str | None]] = attrgetter("reference")


class Bodies:
    """Gathers bodies; one task ends all that make no progress, as a time-out for each would cost a tenth of it."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._reading: dict[asyncio.Task[Any], float | None] = {}  # the last progress; None for one that was ended

    async def gather(self, headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
        """The whole body, or RequestRefused: too long (413), too slow (408), or given up by the caller (400)."""
        if int(headers.get(b"content-length", b"0")) > limit:
            raise _too_long(limit)
        task = asyncio.current_task()
        assert task
        parts: list[bytes] = []
        try:
            while True:
                self._reading[task] = time.monotonic()
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestRefused(400, "the caller went away before the body was complete")
                parts.append(message.get("body", b""))
                limit -= len(parts[-1])
                if limit < 0:
                    raise _too_long(limit + sum(map(len, parts)))
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
        except asyncio.CancelledError:
            if self._reading[task] is not None:
                raise
            task.uncancel()
            sentence = f"no byte of the body came for {self._patience:g} seconds: send it again"
            raise RequestRefused(408, sentence, headers={"Connection": "close"}) from None
        finally:
            del self._reading[task]

    async def keep_sweeping(self) -> None:
        """End what makes no progress, again and again."""
        while True:
            await asyncio.sleep(self._patience / 10)
            before = time.monotonic() - self._patience
            for task, progress in self._reading.items():
                if progress is not None and progress < before:
                    self._reading[task] = None
                    task.cancel()


def _too_long(limit: int) -> RequestRefused:
    return RequestRefused(413, f"the body is longer than {limit:,} bytes: send the wines in several batches")


def one(body: bytes) -> Asked:
    """The wine in a body; RequestRefused with every broken rule."""
    body = body.removeprefix(BOM_UTF8)
    try:
        wine = _one(body)
    except _not_ours:
        return _explained(body, _value(body))
    if body.count(b":") == len(INPUTS) + (wine.reference is not None) and parts_fit([wine]):
        return wine
    # Every field is required and none but a reference is text: more colons than fields may be keys given twice, of
    # which any JSON parser keeps one without a word.
    return _explained(body, _value(body))


def many(body: bytes) -> list[Asked]:
    """The wines in a body, at most BATCH_LIMIT; RequestRefused with the first MOST_PROBLEMS broken rules."""
    body = body.removeprefix(BOM_UTF8)
    try:
        wines: list[Asked] = _many(body).wines
    except _not_ours:
        return _explained_batch(body)
    more = body.count(b":") - 1 - len(INPUTS) * len(wines)  # as above
    if (more and more != sum(each is not None for each in map(_reference, wines))) or not parts_fit(wines):
        return _explained_batch(body)
    return wines


def _explained(body: bytes, given: Any) -> Asked:
    found = _broken(given) or [*_given_twice(body)]
    return Quick(**given) if not found else _refuse(found)


def _explained_batch(body: bytes) -> list[Asked]:
    if body.count(b",") > MOST_COMMAS:
        _refuse([Problem(None, None, f"the body holds more values than {BATCH_LIMIT:,} wines can have")])
    given = _value(body)
    found = [*islice(_wrong_envelope(given), MOST_PROBLEMS)]
    if found:
        _refuse(found)
    wines = given["wines"]
    every = (problem._replace(row=row) for row, wine in enumerate(wines) for problem in _broken(wine))
    found = [*islice(every, MOST_PROBLEMS)] or [*islice(_given_twice(body), MOST_PROBLEMS)]
    return [Quick(**wine) for wine in wines] if not found else _refuse(found)


def _value(body: bytes) -> Any:
    """Any JSON as Python's objects, NaN and infinities among them; the last of keys given twice."""
    try:
        return from_json(body)
    except ValueError as error:
        place = re.search(r"line (\d+) column (\d+)", str(error))
        where = f": look at line {place[1]}, column {place[2]}" if place else ""
        raise RequestRefused(400, f"the body is no valid JSON in UTF-8{where}") from None


def _broken(given: Any) -> list[Problem]:
    """What the contract says against a wine; of more unknown fields than are told it looks at those that are."""
    if isinstance(given, dict) and len(given) > MOST_PROBLEMS + len(INPUTS):
        known = {name: given[name] for name in Asked.model_fields if name in given}
        given = known | dict(islice(given.items(), MOST_PROBLEMS + len(INPUTS)))
    try:
        Asked.model_validate(given)
    except ValidationError as error:
        return problems(error)[:MOST_PROBLEMS]
    return []


def _wrong_envelope(given: Any) -> Iterator[Problem]:
    if not isinstance(given, dict):
        yield from _broken(given)
        return
    unknown = islice((name for name in given if name != "wines"), MOST_PROBLEMS)
    yield from (Problem(None, cut(name), f"{cut(name)} is not a known field; known is wines") for name in unknown)
    wines = given.get("wines")
    if "wines" not in given:
        yield Problem(None, "wines", "wines is missing")
    elif not isinstance(wines, list):
        yield Problem(None, "wines", "wines must be a list of wines")
    elif not 1 <= len(wines) <= BATCH_LIMIT:
        yield Problem(None, "wines", f"wines must hold 1 to {BATCH_LIMIT} wines")


def _given_twice(body: bytes) -> Iterator[Problem]:
    pairs = json.loads(body, object_pairs_hook=list)
    yield from (Problem(None, key, f"{key} is given more than once") for key in _repeated(pairs))
    for row, wine in enumerate(dict(pairs).get("wines", [])):
        yield from (Problem(row, key, f"{key} is given more than once") for key in _repeated(wine))


def _repeated(pairs: list[tuple[str, object]]) -> list[str]:
    return [cut(key) for key, times in Counter(key for key, _ in pairs).items() if times > 1]


def _refuse(found: list[Problem]) -> NoReturn:
    where = f"row {found[0].row}: " if found[0].row is not None else ""
    least = "at least " if len(found) >= MOST_PROBLEMS else ""
    more = f" (and {least}{len(found) - 1} more)" if len(found) > 1 else ""
    raise RequestRefused(422, f"{where}{found[0].message}{more}", [problem._asdict() for problem in found])
