"""Many visitors at once, for a service that runs under limits: every one of them must be served.

python -m tests.delivery.visitors api ADDRESS   64 connections, each with many predictions
python -m tests.delivery.visitors ui ADDRESS    ten sessions, each drawing the page several times
"""

import http.client
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

CONNECTIONS, PREDICTIONS = 64, 50
SESSIONS, DRAWINGS = 10, 3
SECONDS: Final = 60
JSON: Final = {"Content-Type": "application/json", "X-Wine-Purpose": "check"}


def ask_api(address: str) -> None:
    """One connection that is kept, and a wine after the other on it; a batch at the end."""
    api = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)

    def ask(path: str, body: object = None) -> dict[str, object]:
        api.request("POST" if body else "GET", path, json.dumps(body) if body else None, JSON)
        answer = api.getresponse()
        content = answer.read()
        assert answer.status == 200, f"{path}: {answer.status} {content[:200]!r}"
        found: dict[str, object] = json.loads(content)
        return found

    presets = ask("/schema")["presets"]
    assert isinstance(presets, list)
    wine = presets[0]["wine"]
    for _ in range(PREDICTIONS):
        assert isinstance(ask("/predict", wine)["quality"], float)
    predictions = ask("/predict/batch", {"wines": [wine] * 100})["predictions"]
    assert isinstance(predictions, list)
    assert len(predictions) == 100
    api.close()


def visit_ui(address: str) -> None:
    """One session, as a browser keeps it: the page is drawn to its end each time it is asked for."""
    stream = f"ws://{urlsplit(address).netloc}/_stcore/stream"
    with connect(stream, subprotocols=[Subprotocol("streamlit")], max_size=None, open_timeout=SECONDS) as session:
        for _ in range(DRAWINGS):
            wish = BackMsg()
            wish.rerun_script.query_string = ""
            session.send(wish.SerializeToString())
            drawn = 0
            while True:
                message = ForwardMsg()
                message.ParseFromString(session.recv(timeout=SECONDS))
                drawn += message.HasField("delta")
                assert not message.delta.new_element.HasField("exception"), message
                if message.HasField("script_finished"):
                    break
            assert drawn > 5, f"the page was drawn with {drawn} elements only"


def send(visit: Callable[[str], None], address: str, visitors: int) -> None:
    """All of them at once."""
    with ThreadPoolExecutor(visitors) as pool:
        for visitor in [pool.submit(visit, address) for _ in range(visitors)]:
            visitor.result()


match sys.argv[1:]:
    case ["api", address]:
        send(ask_api, address, CONNECTIONS)
    case ["ui", address]:
        send(visit_ui, address, SESSIONS)
    case _:
        sys.exit(__doc__)
