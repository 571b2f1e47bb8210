"""Whether there are grades that no dataset was made from: a reason to train, which changed wines alone are not.

    python notebooks/new_grades.py    grades=NAME:vN, or grades= where there are none, as an output of a workflow's step

The newest version of the collection is asked for, as each holds all grades so far.
"""

import sys

from grades import WINES

from wine_serving.errors import WineServingError
from wine_serving.registry import DATASET, GRADES, Registry, open_registry
from wine_serving.settings import Settings


def new_grades(registry: Registry) -> str | None:
    """The newest version of the grades, where it holds graded wines that no dataset was made from."""
    versions = registry.records(GRADES)
    learnt = {
        version.files.get(WINES)
        for version in versions
        if any(ref.startswith(f"{DATASET}:") for ref in registry.used_by(version.ref))
    }
    return versions[-1].ref if versions and versions[-1].files.get(WINES) not in {None, *learnt} else None


if __name__ == "__main__":
    try:
        print(f"grades={new_grades(open_registry(Settings.from_environment().registry)) or ''}")
    except WineServingError as error:
        sys.exit(str(error))
