"""One call of the API: what its head says, and what becomes of it."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import getrandbits
from typing import Any, Final

from msgspec import UNSET, UnsetType
from starlette.types import Scope

from wine_serving.api.log import FORMAT, PURPOSES, Line
from wine_serving.assessing import Assessment
from wine_serving.errors import RequestRefused
from wine_serving.schema import MEASUREMENTS

JSON: Final = b"application/json"
_OWN_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_PURPOSES: Final[dict[bytes, Any]] = {purpose.encode(): purpose for purpose in PURPOSES}
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context
_CLOUD_TRACE: Final = re.compile(rb"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=\d)?")


class Call:
    """Its id (the caller's own, where that can be one), its path below the root, its headers, and when it came in.

    `route`, `status` and `assessed` are what is counted: the status is 0 until the answer begins, and `assessed` is the
    version that assessed wines with what it says of them.
    """

    __slots__ = ("assessed", "headers", "id", "path", "query", "route", "started", "status")

    def __init__(self, scope: Scope) -> None:
        self.started = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        own = self.headers.get(b"x-request-id")
        self.id = own.decode() if own and _OWN_ID.fullmatch(own) else f"{getrandbits(128):032x}"
        self.path: str = scope["path"].removeprefix(scope["root_path"])
        self.query: bytes = scope["query_string"]
        self.route, self.status = "unknown", 0
        self.assessed: tuple[str, Sequence[Assessment]] | None = None

    def seconds(self) -> float:
        """Time since the call came in."""
        return time.perf_counter() - self.started

    def check_body(self, kinds: tuple[bytes, ...]) -> None:
        """RequestRefused (415) where the head announces another body than one of these kinds, or a compressed one.

        JSON must be in UTF-8; how a table is written is found out by who reads it.
        """
        said = self.headers.get(b"content-type", b"")
        if said in kinds and b"content-encoding" not in self.headers:
            return
        kind, _, parameter = (part.strip() for part in said.lower().partition(b";"))
        if kind not in kinds:
            known = b" or ".join(kinds).decode()
            raise RequestRefused(415, f"Content-Type must say what the body is: {known}")
        if parameter.startswith(b"charset=") and kind == JSON and parameter[8:].strip(b'"') not in (b"utf-8", b"utf8"):
            raise RequestRefused(415, "the body must be in UTF-8: send it so, with charset=utf-8 or no charset")
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestRefused(415, "a compressed body is not taken: send it as it is, without Content-Encoding")

    def line(self, version: str) -> Callable[[], Line]:
        """What the prediction log keeps of the call, and of the model that answers it; the log makes it, unhurried."""
        purpose = _PURPOSES.get(self.headers.get(b"x-wine-purpose", b"user"))
        if purpose is None:
            raise RequestRefused(400, f"X-Wine-Purpose must be one of {', '.join(PURPOSES)}")
        given = self.headers.get(b"x-wine-assumed")
        assumed = [name.strip() for name in given.decode("latin-1").split(",")] if given is not None else UNSET
        if assumed is not UNSET and (not {*assumed} <= {*MEASUREMENTS} or len(assumed) > len(MEASUREMENTS)):
            raise RequestRefused(400, f"X-Wine-Assumed may name, separated by commas, {', '.join(MEASUREMENTS)}")
        return self._line("prediction", version, purpose, assumed)

    def refusal(self, version: str | None, status: int, fields: Sequence[str]) -> Callable[[], Line]:
        """What the prediction log keeps of the call where it is refused with `status`, for what these `fields` hold."""
        purpose = _PURPOSES.get(self.headers.get(b"x-wine-purpose", b"user"), PURPOSES[0])
        return self._line("refused", version or "", purpose, UNSET, status, fields)

    def _line(self, message: str, version: str, purpose: Any, assumed: Any, *refused: Any) -> Callable[[], Line]:
        """Whoever waits for the log to be read holds this, so it keeps no header of any length."""
        return partial(
            _made, time.time(), message, version, self.id, purpose, self.seconds(), assumed, *self._trace(), *refused
        )

    def _trace(self) -> tuple[str | UnsetType, str | UnsetType]:
        """Trace and span of the `traceparent` or `X-Cloud-Trace-Context` header, where that is valid."""
        own, cloud = self.headers.get(b"traceparent"), self.headers.get(b"x-cloud-trace-context")
        if own and (found := _TRACEPARENT.fullmatch(own)):
            return found[1].decode(), found[2].decode()
        if cloud and (found := _CLOUD_TRACE.fullmatch(cloud)):
            return found[1].decode(), f"{int(found[2]):016x}" if found[2] else UNSET
        return UNSET, UNSET


def _made(at: float, message: str, version: str, request: str, purpose: Any, seconds: float, *more: Any) -> Line:
    when = datetime.fromtimestamp(at, UTC)
    return Line(when, "INFO", message, FORMAT, version, request, purpose, round(seconds, 6), *more)
