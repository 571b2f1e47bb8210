"""One revision of a service, as the stand-in for Cloud Run starts it: the real API or UI, or one with a fault.

The fault is the last word of the image's path: `…/crash@sha256:…`. K_SERVICE, K_REVISION, IMAGE, PORT and GCLOUD_STATE
come from the stand-in; WORLD is the folder with one registry for each of `good` and `wrong`.
"""

import json
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SERVICE, REVISION, PORT = os.environ["K_SERVICE"], os.environ["K_REVISION"], int(os.environ["PORT"])
FAULT = os.environ["IMAGE"].partition("@")[0].rpartition("/")[2]


def has_traffic() -> bool:
    """Whether the service sends its visitors here."""
    state = json.loads(Path(os.environ["GCLOUD_STATE"], "state.json").read_text())
    return REVISION in state["services"][SERVICE]["traffic"]


def hang() -> None:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", PORT)):
        time.sleep(600)


class Pages(BaseHTTPRequestHandler):
    """Any page is there, until a revision with the fault `late` gets traffic."""

    def do_GET(self) -> None:
        self.send_response(503 if FAULT == "late" and has_traffic() else 200)
        self.end_headers()
        self.wfile.write(b"<html>a page</html>")


async def late_api(scope: Any, receive: Any, send: Any) -> None:
    """The real API, until it gets traffic."""
    from wine_serving.app import app

    if scope["type"] == "http" and has_traffic():
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"out of order"})
    else:
        await app(scope, receive, send)


def api() -> None:
    """The real API on the registry that the fault asks for."""
    import uvicorn

    registry = Path(os.environ["WORLD"], "wrong" if FAULT == "wrong" else "good")
    os.environ["WINE_REGISTRY"] = f"folder:{registry}"
    uvicorn.run(late_api if FAULT == "late" else "wine_serving.app:app", port=PORT, access_log=False)


def ui() -> None:
    """The real UI."""
    server = ["--server.address=127.0.0.1", f"--server.port={PORT}", "--server.headless=true"]
    page = str(Path(__file__).parents[2] / "wine_ui" / "app.py")
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", page, *server])  # noqa: S606


match FAULT, SERVICE:
    case "crash", _:
        sys.exit("crashed, as asked")
    case "hang", _:
        hang()
    case ("hello", _) | ("late", "wine-quality-ui"):
        ThreadingHTTPServer(("127.0.0.1", PORT), Pages).serve_forever()
    case _, "wine-quality-api":
        api()
    case _:
        ui()
