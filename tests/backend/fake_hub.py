"""A Hugging Face hub on this machine, with files of a few bytes: it speaks as much of the hub's way as is asked of it.

Runs in Blender's Python, too. `HF_ENDPOINT` leads a process to it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "c" * 40
PIECE = 16 << 10


class FakeHub:
    """`with FakeHub({"owner/name": {"unet/config.json": b"{}"}}) as hub:`; its address is `hub.url`."""

    def __init__(self, repositories: dict[str, dict[str, bytes]], licence: str = "creativeml-openrail-m") -> None:
        self.repositories, self.licence = repositories, licence
        self.break_after: dict[str, int] = {}
        """Path of a file to the number of bytes after which the connection is cut, once."""
        self.forged: dict[str, bytes] = {}
        """Path of a file to what is sent in place of what the listing promises."""
        self.redirect: dict[str, str] = {}
        self.whole_only = False
        """Takes no notice of `Range`."""
        self.pause = 0.0
        """Seconds before each piece."""
        self.asked: list[tuple[str, str]] = []
        """Path and `Range` of each file that was asked for."""

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="fake-hub", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path.lstrip("/")
        if path.startswith("api/models/"):
            name = "/".join(path.removeprefix("api/models/").split("/")[:2])
            self._list(request, name)
            return
        name, _, file = path.partition(f"/resolve/{COMMIT}/")
        content = self.repositories.get(name, {}).get(file)
        if content is None:
            request.send_error(404)
            return
        self.asked.append((file, request.headers.get("Range", "")))
        if file in self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect[file])
            request.end_headers()
            return
        self._send(request, file, self.forged.get(file, content))

    def _list(self, request: BaseHTTPRequestHandler, name: str) -> None:
        files = self.repositories.get(name)
        if files is None:
            request.send_error(404)
            return
        siblings = []
        for path, content in files.items():
            told: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": "b"}
            if not path.endswith((".json", ".txt")):  # the hub knows the digest of large files only
                digest = hashlib.sha256(content).hexdigest()
                told["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(told)
        body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings, "cardData": {"license": self.licence}})
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode())

    def _send(self, request: BaseHTTPRequestHandler, file: str, content: bytes) -> None:
        begin = 0
        wanted = request.headers.get("Range", "")
        if wanted and not self.whole_only:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(content):
                request.send_error(416)
                return
        request.send_response(206 if begin else 200)
        request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        stop = self.break_after.pop(file, len(content))
        try:
            for at in range(begin, min(stop, len(content)), PIECE):
                if self.pause:
                    time.sleep(self.pause)
                request.wfile.write(content[at : min(at + PIECE, stop)])
                request.wfile.flush()
        except OSError:  # the other end has gone
            return
