"""Notebooks as git keeps them: without outputs, counts, and traces of the machine that ran them.

    python3 requirements/notebooks.py < NOTEBOOK > KEPT    # what git asks for; what is no notebook stays as it is
    python3 requirements/notebooks.py NOTEBOOK…            # ends well where each is as git keeps it

Only the standard library is needed, and any Python from 3.8 on can run it: git works where the environment is gone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

OF_NOTEBOOK = ("kernelspec", "language_info", "signature", "widgets")
OF_CELL = ("ExecuteTime", "collapsed", "execution", "heading_collapsed", "hidden", "scrolled", "trusted")


def kept(content: bytes) -> bytes:
    """A notebook's bytes as git keeps them; half-merged ones, and whatever is no notebook, as they are."""
    try:
        notebook = json.loads(content)
        cells = notebook["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
            without(cell["metadata"], OF_CELL)
            if isinstance(cell["source"], str):
                cell["source"] = cell["source"].splitlines(keepends=True)
        without(notebook["metadata"], OF_NOTEBOOK)
    except (ValueError, KeyError, TypeError, AttributeError):
        return content
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8", "surrogatepass")


def without(metadata: dict[str, object], names: tuple[str, ...]) -> None:
    """Take these out."""
    for name in names:
        metadata.pop(name, None)


if __name__ == "__main__":
    if sys.argv[1:]:
        files = {name: Path(name).read_bytes() for name in sys.argv[1:]}
        sys.exit("\n".join(name for name, content in files.items() if kept(content) != content) or None)
    sys.stdout.buffer.write(kept(sys.stdin.buffer.read()))
