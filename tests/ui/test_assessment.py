"""One wine assessed: what is assumed, and what would be if one measurement were different."""

from tests import tiny
from tests.ui.visitor import asked, client_of
from wine_ui.assessment import what_if


def test_what_if_is_one_batch_with_gaps_where_no_wine_is_possible(api: str) -> None:
    """Free above total sulfur dioxide has no score; all else has the API's."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0] | {"total_sulfur_dioxide": 50.0}
    with client_of(api) as client:
        points = what_if(client, wine, "free_sulfur_dioxide", 10, 90)
        before = asked(api, "/predict/batch")
        what_if(client, wine, "alcohol", 9, 12)
    assert asked(api, "/predict/batch") == before + 1
    assert all((score is None) == (value > 50) for value, score in points)
