"""One call of the API: its id, when it came in, and the trace that it belongs to."""

import re
import time
from random import getrandbits
from typing import Any, Final, NamedTuple

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context
_CLOUD_TRACE: Final = re.compile(rb"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=\d)?")


class Trace(NamedTuple):
    """The trace that a caller is following, and the span that called us (16 hexadecimal digits)."""

    id: str
    span: str | None


class Call:
    """What is known of a request before its body is read."""

    __slots__ = ("headers", "id", "started")

    def __init__(self, scope: Any) -> None:
        self.started = time.perf_counter()
        self.id = f"{getrandbits(128):032x}"
        self.headers: dict[bytes, bytes] = dict(scope["headers"])

    def seconds(self) -> float:
        """Time since the call came in."""
        return time.perf_counter() - self.started

    def trace(self) -> Trace | None:
        """The trace of the `traceparent` or `X-Cloud-Trace-Context` header, if there is a valid one."""
        if found := _TRACEPARENT.fullmatch(self.headers.get(b"traceparent", b"")):
            return Trace(found[1].decode(), found[2].decode())
        if found := _CLOUD_TRACE.fullmatch(self.headers.get(b"x-cloud-trace-context", b"")):
            return Trace(found[1].decode(), f"{int(found[2]):016x}" if found[2] else None)
        return None
