"""
Two small servers that speak as much of Google's and Azure's object stores as one client needs.

They are ours, made from the vendors' pages: they show that URL, settings and calls fit together, and not that
the vendors' servers would say the same.
"""

import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

_DATE = "Sun, 22 Nov 2026 00:00:00 GMT"


@dataclass
class FakeObjectStore:
    """What the server holds: objects by path, parts by path and their id."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[str, bytes]] = field(default_factory=dict)


@contextmanager
def object_store() -> Iterator[FakeObjectStore]:
    """Run a server that answers in both tongues."""
    fake = FakeObjectStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    fake.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeObjectStore]
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        path, query, body = self._asked()
        if "partNumber" in query:  # Google
            self.fake.parts.setdefault(path, {})[query["partNumber"].zfill(9)] = body
        elif query.get("comp") == "block":  # Azure
            self.fake.parts.setdefault(path, {})[query["blockid"]] = body
        elif query.get("comp") == "blocklist":
            ids = re.findall(r"<(?:Uncommitted|Latest)>([^<]+)<", body.decode())
            self.fake.objects[path] = b"".join(self.fake.parts[path][one] for one in ids)
            del self.fake.parts[path]
        else:
            self.fake.objects[path] = body
        self._answer(201 if self.headers["x-ms-version"] else 200, etag=body)

    def do_POST(self) -> None:
        path, query, body = self._asked()
        if query.get("comp") == "batch":  # Azure deletes like this, one or many
            self._delete_each(body.decode())
            return
        if "uploads" in query:
            begun = "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
            self._answer(200, begun.encode())
            return
        parts = self.fake.parts.pop(path)
        self.fake.objects[path] = b"".join(parts[number] for number in sorted(parts))
        done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        self._answer(200, done.encode())

    def do_GET(self) -> None:
        path, _, _ = self._asked()
        if path not in self.fake.objects:
            self._answer(404)
            return
        content = self.fake.objects[path]
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or self.headers["x-ms-range"] or "")
        if not found:
            self._answer(200, content)
            return
        first, last = int(found[1]), min(int(found[2]), len(content) - 1)
        self._answer(206, content[first : last + 1], within=f"bytes {first}-{last}/{len(content)}")

    do_HEAD = do_GET  # noqa: N815  the library's way

    def do_DELETE(self) -> None:
        path, query, _ = self._asked()
        known = (self.fake.parts if "uploadId" in query else self.fake.objects).pop(path, None)
        self._answer(404 if known is None else 202 if self.headers["x-ms-version"] else 204)

    def _delete_each(self, asked: str) -> None:
        answers = []
        for number, path in enumerate(re.findall(r"^DELETE (\S+)", asked, re.MULTILINE)):
            known = self.fake.objects.pop(unquote(path), None)
            status = "404 The specified blob does not exist." if known is None else "202 Accepted"
            answers.append(
                "--batch\r\nContent-Type: application/http\r\n"
                f"Content-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\nx-ms-version: 2018-11-09\r\n\r\n"
            )
        self._answer(
            202, "".join([*answers, "--batch--\r\n"]).encode(), kind="multipart/mixed; boundary=batch"
        )

    def _asked(self) -> tuple[str, dict[str, str], bytes]:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        length = int(self.headers["Content-Length"] or 0)
        return unquote(url.path), query, self.rfile.read(length)

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        etag: bytes = b"",
        within: str | None = None,
        kind: str = "application/xml",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{b64encode(md5(etag, usedforsecurity=False).digest()).decode()}"')
        self.send_header("Last-Modified", _DATE)
        self.send_header("x-ms-blob-type", "BlockBlob")
        if within:
            self.send_header("Content-Range", within)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...
