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
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import from_json
from starlette.types import Receive

from wine_serving.errors import RequestRefused
from wine_serving.schema import BATCH_LIMIT, INPUTS, Asked, Batch, Problem, Quick, cut, parts_fit, problems

WINE_BYTES: Final = 64 * 1024
BATCH_BYTES: Final = 8 * 1024 * 1024  # 10,000 wines take about 3 MB
MOST_PROBLEMS: Final = 100  # are looked for, and told
MOST_COMMAS: Final = 80 * BATCH_LIMIT  # 10,000 wines have 12 each, and each may have a reference that consists of them
PATIENCE: Final = 10.0  # seconds without a byte of the body

_one: Final = msgspec.json.Decoder(Quick).decode
_rows: Final = Annotated[list[Quick], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)]  # type: ignore[valid-type]
_Many: Any = msgspec.defstruct("_Many", [("wines", _rows)], forbid_unknown_fields=True)
_many: Final = msgspec.json.Decoder(_Many).decode
_reference: Final[Callable[[Asked], str | None]] = attrgetter("reference")


class _Envelope(Batch):
    """A batch whose wines are judged one by one, until enough problems are found."""

    wines: list[Any] = Field(min_length=1, max_length=BATCH_LIMIT)


class Bodies:
    """Gathers bodies; one task ends all that make no progress, as a time-out for each would cost a tenth of it."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._reading: dict[asyncio.Task[Any], float] = {}  # when each made its last progress
        self._loop: asyncio.AbstractEventLoop | None = None

    async def gather(self, headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
        """The whole body, or RequestRefused: too long (413), too slow (408), or given up by the caller (400)."""
        if int(headers.get(b"content-length", b"0")) > limit:
            raise _too_long(limit)
        task = asyncio.current_task(self._loop)
        assert task
        parts: list[bytes] = []
        length = 0
        try:
            while True:
                self._reading[task] = time.monotonic()
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestRefused(400, "the caller went away before the body was complete")
                part = message.get("body", b"")
                length += len(part)
                if length > limit:
                    raise _too_long(limit)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
        except asyncio.CancelledError:
            if task in self._reading:
                raise
            task.uncancel()
            sentence = f"no byte of the body came for {self._patience:g} seconds: send it again"
            raise RequestRefused(408, sentence, headers={"Connection": "close"}) from None
        finally:
            self._reading.pop(task, None)

    async def keep_sweeping(self) -> None:
        """End what makes no progress, again and again."""
        self._loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._patience / 10)
            before = time.monotonic() - self._patience
            for task in [task for task, progress in self._reading.items() if progress < before]:
                del self._reading[task]
                task.cancel()


def _too_long(limit: int) -> RequestRefused:
    return RequestRefused(413, f"the body is longer than {limit:,} bytes: send the wines in several batches")


def one(body: bytes) -> Asked:
    """The wine in a body; RequestRefused with every broken rule."""
    return _wines(body, batch=False)[0]


def many(body: bytes) -> list[Asked]:
    """The wines in a body, at most BATCH_LIMIT; RequestRefused with the first MOST_PROBLEMS broken rules."""
    return _wines(body, batch=True)


def _wines(body: bytes, *, batch: bool) -> list[Asked]:
    body = body.removeprefix(BOM_UTF8)
    try:
        wines: list[Asked] = _many(body).wines if batch else [_one(body)]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _explained(body, batch=batch)
    # Every field is required and none but a reference is text: more colons than fields may be keys given twice, of
    # which any JSON parser keeps one without a word.
    more = body.count(b":") - batch - len(INPUTS) * len(wines)
    if (more and more != sum(each is not None for each in map(_reference, wines))) or not parts_fit(wines):
        return _explained(body, batch=batch)
    return wines


def _explained(body: bytes, *, batch: bool) -> list[Asked]:
    """The wines in a body as pydantic sees them, or RequestRefused with what it has against them."""
    given = _value(body)
    if batch and (found := _broken(_Envelope, given, "is wines")):
        raise _broken_rules(found)
    wines = given["wines"] if batch else [given]
    rows = range(len(wines)) if batch else [None]
    every = (
        problem._replace(row=row) for row, wine in zip(rows, wines, strict=True) for problem in _broken(Asked, wine)
    )
    if found := [*islice(every, MOST_PROBLEMS)] or [*islice(_given_twice(body), MOST_PROBLEMS)]:
        raise _broken_rules(found)
    return [Quick(**wine) for wine in wines]


def _value(body: bytes) -> Any:
    """Any JSON as Python's objects, NaN and infinities among them; the last of keys given twice."""
    if body.count(b",") > MOST_COMMAS:
        raise _broken_rules([Problem(None, None, f"the body holds more values than {BATCH_LIMIT:,} wines can have")])
    try:
        return from_json(body)
    except ValueError as error:
        place = re.search(r"line (\d+) column (\d+)", str(error))
        where = f": look at line {place[1]}, column {place[2]}" if place else ""
        raise RequestRefused(400, f"the body is no valid JSON in UTF-8{where}") from None


def _broken(contract: type[BaseModel], given: Any, *known: str) -> list[Problem]:
    """What the contract says against a value; of more unknown fields than are told it looks at those that are."""
    if isinstance(given, dict) and len(given) > MOST_PROBLEMS + len(INPUTS):
        fields = {name: given[name] for name in contract.model_fields if name in given}
        given = fields | dict(islice(given.items(), MOST_PROBLEMS + len(INPUTS)))
    try:
        contract.model_validate(given)
    except ValidationError as error:
        return problems(error, *known)[:MOST_PROBLEMS]
    return []


def _given_twice(body: bytes) -> Iterator[Problem]:
    pairs = json.loads(body, object_pairs_hook=list)
    for row, fields in ((None, pairs), *enumerate(dict(pairs).get("wines", []))):
        for key, times in Counter(key for key, _ in fields).items():
            if times > 1:
                yield Problem(row, cut(key), f"{cut(key)} is given more than once")


def _broken_rules(found: list[Problem]) -> RequestRefused:
    where = f"row {found[0].row}: " if found[0].row is not None else ""
    least = "at least " if len(found) >= MOST_PROBLEMS else ""
    more = f" (and {least}{len(found) - 1} more)" if len(found) > 1 else ""
    return RequestRefused(422, f"{where}{found[0].message}{more}", [problem._asdict() for problem in found])
