"""A large JSON answer read as it comes: its rows are made small one by one, so that it never lies in memory whole."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

_START: Final = re.compile(r'\s*\{\s*"rows"\s*:\s*\[')
_GAP: Final = re.compile(r"[\s,]*")


def read(chunks: Iterable[str], small: Callable[[dict[str, Any]], Any]) -> Any:
    """The JSON in these pieces of text; where it begins with `rows`, each of them as `small` makes it.

    >>> read(['{"rows":[{"a":1},{"a', '":2}],"n"', ":2}"], lambda row: row["a"])
    {'rows': [1, 2], 'n': 2}
    """
    decode, rows, text, inside, after = json.JSONDecoder().raw_decode, [], "", False, False
    for chunk in chunks:
        text += chunk
        if not inside and not after and (found := _START.match(text)):
            text, inside = text[found.end() :], True
        at = 0
        while inside:
            gap = _GAP.match(text, at)
            at = gap.end() if gap else at
            if text.startswith("]", at):
                text, at, inside, after = '{"rows":[]' + text[at + 1 :], 0, False, True
                break
            try:
                row, at = decode(text, at)
            except ValueError:
                break  # the rest of this row is on its way
            rows.append(small(row))
        text = text[at:]
    content = json.loads(text)
    if after:
        content["rows"] = rows
    return content
