"""One wine assessed: what is assumed, and what would be if one measurement were different."""

import json

from tests import tiny
from tests.servers import Server
from tests.serving.test_predictions import logged
from tests.ui.visitor import asked, client_of
from wine_ui.assessment import assess, what_if


def test_only_a_visitors_own_wine_is_asked_for_as_a_users(server: Server) -> None:
    """Presets, curves and what is assumed are told apart in the log; measurements that nobody took are marked."""
    wine = tiny.as_wines(tiny.made_up_wines(5))[4]
    numbers = {name: value for name, value in wine.items() if name not in ("color", "chlorides")}
    with client_of(server.address) as client:
        schema = client.schema()
        own = assess(client, schema, wine["color"], numbers).prediction
        preset = dict(schema["presets"][0]["wine"])
        tried = assess(client, schema, preset.pop("color"), preset).prediction
    (mine,), (other,) = (logged(server, each["request_id"]) for each in (own, tried))
    assert (mine["purpose"], mine["assumed"], other["purpose"]) == ("user", ["chlorides"], "what_if")
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith('{"time')]
    moved = [line for line in lines if line["purpose"] == "what_if" and line["request_id"] != tried["request_id"]]
    assert len(moved) >= 5


def test_what_if_is_one_batch_with_gaps_where_no_wine_is_possible(api: str) -> None:
    """Free above total sulfur dioxide has no score; all else has the API's."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0] | {"total_sulfur_dioxide": 50.0}
    with client_of(api) as client:
        points = what_if(client, wine, "free_sulfur_dioxide", 10, 90)
        before = asked(api, "/predict/batch")
        what_if(client, wine, "alcohol", 9, 12)
    assert asked(api, "/predict/batch") == before + 1
    assert all((score is None) == (value > 50) for value, score in points)


def test_what_if_passes_through_the_wine_itself(api: str) -> None:
    """However close to it a score jumps."""
    wine = tiny.as_wines(tiny.made_up_wines(1))[0]
    alcohol = float(wine["alcohol"])
    with client_of(api) as client:
        points = what_if(client, wine, "alcohol", alcohol - 1.03, alcohol + 1)
        (own,) = client.predict_each([wine])
    assert not isinstance(own, list)
    assert dict(points)[alcohol] == own["quality"]
