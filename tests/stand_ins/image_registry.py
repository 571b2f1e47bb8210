"""A registry of container images on this machine, as far as engines push to one: blobs and manifests in memory."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ImageRegistry(ThreadingHTTPServer):
    """What was pushed, by digest and by tag."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.place = f"localhost:{self.server_port}/wine-quality"
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}  # by digest, and by NAME:TAG

    def manifest(self, image: str) -> Any:
        """The manifest of HOST/PATH/NAME@DIGEST."""
        return json.loads(self.manifests[image.partition("@")[2]])


class Handler(BaseHTTPRequestHandler):
    """The calls of a push."""

    server: ImageRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v2/":
            return self.answer(200)
        found = re.fullmatch(r"/v2/(.+)/(blobs|manifests)/(.+)", path)
        assert found
        name, kind, ref = found.groups()
        content = (self.server.blobs if kind == "blobs" else self.server.manifests).get(ref)
        content = content or self.server.manifests.get(f"{name}:{ref}")
        if content is None:
            return self.answer(404)
        media = "application/octet-stream" if kind == "blobs" else json.loads(content)["mediaType"]
        return self.answer(200, content, Content_Type=media, Docker_Content_Digest=digest(content))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.body()
        self.answer(202, Location=f"{self.path.partition('?')[0]}{threading.get_ident()}-{len(self.server.blobs)}")

    def do_PATCH(self) -> None:
        content = self.body()
        self.server.blobs[digest(content)] = content
        self.answer(202, Location=self.path, Range=f"0-{max(len(content) - 1, 0)}")

    def do_PUT(self) -> None:
        content = self.body()
        if "/blobs/" in self.path:
            if content:
                self.server.blobs[digest(content)] = content
            return self.answer(201)
        name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        self.server.manifests |= {digest(content): content, f"{name}:{tag}": content}
        return self.answer(201, Docker_Content_Digest=digest(content))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def image_registry() -> Iterator[ImageRegistry]:
    """One that listens."""
    registry = ImageRegistry()
    thread = threading.Thread(target=registry.serve_forever)
    thread.start()
    try:
        yield registry
    finally:
        registry.shutdown()
        thread.join()
        registry.server_close()
