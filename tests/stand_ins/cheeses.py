"""A service that grades cheeses: it speaks the API's protocol over HTTP, and knows no wine."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

CHEESE = {"fat": 30.0, "salt": 1.8, "age": 20.0, "milk": "cow"}


def field(name: str, label: str, unit: str, group: str, typical: float) -> dict[str, Any]:
    """A measurement as `/schema` tells it."""
    usual = dict.fromkeys(("cow", "goat"), (typical / 2, typical * 2))
    known = {"typical": dict.fromkeys(usual, typical), "usual": usual, "ranges": usual}
    return {"name": name, "label": label, "unit": unit, "group": group, "help": f"{label}.", "step": 0.1, **known}


SCHEMA = {
    "fields": [
        field("fat", "Fat", "g/100 g", "Body", 28),
        field("salt", "Salt", "g/100 g", "Body", 2),
        field("age", "Age", "weeks", "Cellar", 20),
    ],
    "category": {"name": "milk", "label": "Milk"},
    "colors": ["cow", "goat"],
    "target": {"name": "liking", "minimum": 0, "maximum": 10, "label": "Liking"},
    "presets": [{"name": "typical", "label": "A typical one", "wine": CHEESE, "quality": 6}],
    "distribution": {"cow": {"5": 10, "6": 20}, "goat": {"6": 5, "7": 5}},
    "batch_limit": 10_000,
    "model_version": "v7",
}


def predict(cheese: dict[str, Any]) -> dict[str, Any]:
    """The more fat, the better, and goats are preferred."""
    assert cheese.keys() == CHEESE.keys()
    quality = 3 + cheese["fat"] / 10 + (cheese["milk"] == "goat")
    interval = {"low": quality - 1, "high": quality + 1, "level": 0.9}
    grade = {"value": round(quality), "share": 0.6}
    shares = {"probabilities": {str(grade["value"]): 0.6, str(grade["value"] + 1): 0.4}, "at_least_7": 0.4}
    return {"quality": quality, "interval": interval, "grade": grade, "warnings": []} | shares


def explain(cheese: dict[str, Any]) -> dict[str, Any]:
    """All of it is fat."""
    moved = [{"field": name, "contribution": 0.4 if name == "fat" else 0.0} for name in cheese]
    return {"quality": 6.0, "typical": 5.6, "contributions": moved}


def table(text: str, said: dict[str, str]) -> tuple[dict[str, Any], int]:
    """A table with semicolons: its rows answered; or, where no milk is said, what may be it."""
    rows = [dict(row) for row in csv.DictReader(text.splitlines(), delimiter=";")]
    if "milk" not in {*rows[0], *said}:
        return {"detail": "the file lacks milk", "errors": [], "candidates": {"milk": ["age"]}}, 422
    cheeses = [{**{name: float(row[name].replace(",", ".")) for name in ("fat", "salt", "age")},
                "milk": row.get("milk") or said["milk"]} for row in rows]  # fmt: skip
    answers = [{"row": row, "milk": each["milk"]} | predict(each) for row, each in enumerate(cheeses, 1)]
    summary = {"rows": len(rows), "scored": len(rows), "refused": 0, "faults": 0}
    return {"rows": answers, "refused": [], "summary": summary}, 200


class Service(BaseHTTPRequestHandler):
    """The routes that the page asks."""

    def do_GET(self) -> None:
        self._answer(SCHEMA if self.path == "/schema" else {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path, _, query = self.path.partition("?")
        if path == "/predict/table":
            self._answer(*table(body.decode(), dict(parse_qsl(query))))
            return
        asked = json.loads(body)
        match path:
            case "/predict":
                self._answer(predict(asked))
            case "/predict/batch":
                self._answer({"predictions": [predict(each) for each in asked["wines"]]})
            case "/explain":
                self._answer(explain(asked))

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content | {"model_version": "v7"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def service() -> Iterator[str]:
    """The address of the running service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
