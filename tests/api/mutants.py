"""Bodies that are almost wines: spoilt byte by byte and value by value, and what the contract alone says of them."""

import json
import random
from collections import Counter

from pydantic import ValidationError

from tests import tiny
from wine_serving.api import body
from wine_serving.errors import RequestRefused
from wine_serving.schema import EXAMPLES, INPUTS, Asked, Batch

WINES = [*EXAMPLES.values(), *tiny.as_wines(tiny.made_up_wines(20))]
VALUES = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-0", "-0.0", "1e-400", "null", "true", "[]", "{}", '"7"', "0x1", "01"),
    *("+1", ".5", "5.", "1E1", "1e1", "1" + "0" * 400, "1" * 5000, '"red"', '"white"', '"RED"', '"r\\u0065d"', "1 2"),
    *('"\\ud800"', "9" * 20, "0." + "1" * 400, "[1]", '{"a": 1}', "", "1e", "-", '"\\x"', '"a\tb"'),
)  # fmt: skip
KEYS = (*INPUTS, "reference", "price", "wines", "", "p\\u0068", "ph:", "PH", "\\ud800", "ü")
REFERENCES = (
    '"x"',
    '"a:b"',
    '"' + "x" * 64 + '"',
    '"' + "x" * 65 + '"',
    '"\\ud83c\\udf77"',
    '"\\ud83c"',
    "null",
    "5",
    '""',
)


def written(fields: list[tuple[str, str]]) -> bytes:
    """An object with these fields as they are written here, whatever that is."""
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields) + "}").encode("utf-8", "surrogatepass")


def mutant(draw: random.Random) -> bytes:
    """One body: a wine with some fields changed, added, repeated, left out or moved; then perhaps some bytes."""
    fields = [(name, json.dumps(value)) for name, value in draw.choice(WINES).items()]
    for _ in range(draw.choice((0, 0, 1, 1, 1, 2))):
        place = draw.randrange(len(fields))
        match draw.randrange(7):
            case 0:
                fields[place] = fields[place][0], draw.choice(VALUES)
            case 1:
                fields.insert(place, (draw.choice(KEYS), draw.choice((*VALUES, fields[place][1]))))
            case 2:
                fields.pop(place)
            case 3:
                fields.append(("reference", draw.choice(REFERENCES)))
            case 4:
                fields.append(draw.choice(fields))
            case 5:
                fields[place] = fields[place][0], repr(draw.choice((-1, 1)) * 10 ** draw.uniform(-4, 4))
            case _:
                draw.shuffle(fields)
    made = bytearray(written(fields))
    if draw.random() < 0.3:
        place = draw.randrange(len(made))
        match draw.randrange(4):
            case 0:
                made[place] = draw.randrange(256)
            case 1:
                del made[place]
            case 2:
                made.insert(place, draw.choice(b'{}[]",: \t\n0e-\\\xff\xc3\xa9\xef\xbb\xbf'))
            case _:
                del made[place:]
    return bytes(made)


def contract_takes(given: bytes, model: type[Asked] | type[Batch]) -> bool:
    """Whether pydantic alone takes it, keys given twice aside, which no parser tells."""
    try:
        model.model_validate_json(given.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError:
        return False
    return not twice(json.loads(given.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=list))


def twice(pairs: object) -> bool:
    """Whether a key comes twice in an object, or in one within."""
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return isinstance(pairs, list) and any(map(twice, pairs))
    counts = Counter(key for key, _ in pairs)
    return max(counts.values(), default=0) > 1 or any(twice(value) for _, value in pairs)


def takes(given: bytes, *, many: bool) -> bool:
    """Whether the API does."""
    try:
        body.many(given) if many else body.one(given)
    except RequestRefused:
        return False
    return True


def disagreements(seed: int, count: int) -> list[bytes]:
    """The bodies among `count` on which the two do not agree, alone or in a batch between good wines."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    good = json.dumps(WINES[0]).encode()
    found = []
    for _ in range(count):
        alone = mutant(draw)
        batch = b'{"wines": [' + good + b", " + alone + b"]}"
        if takes(alone, many=False) != contract_takes(alone, Asked) or takes(batch, many=True) != contract_takes(
            batch, Batch
        ):
            found.append(alone)
    return found
