"""What monitoring found last, and from when on that is too long ago, for the front page of all reports."""

from datetime import timedelta
from typing import Any, Final

from wine_serving.errors import ContractError
from wine_serving.monitoring import Monitoring
from wine_serving.registry import Record

OVERDUE: Final = timedelta(days=9)  # a week, and two days for a runner that starts late


def last_look(production: Record | None) -> dict[str, Any] | None:
    """What was found, and when it becomes overdue; None where nobody has looked, or with other code than this.

    Schedules die silently, and then nobody writes the page again either: whether it is overdue, the browser says.
    """
    if production is None or production.monitoring is None:
        return None
    try:
        found = Monitoring.read(production.monitoring)
    except ContractError:
        return None
    return {"found": found, "overdue": found.at + OVERDUE}
