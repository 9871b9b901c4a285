"""A web server of files that reads ranges, and fails as it is told to."""

import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Faults:
    """What the server does before it answers well; each entry of `plan` is used up by one request.

    ``503`` and other numbers are answered as such, ``cut`` sends half of the bytes, ``slow`` waits, ``whole``
    ignores the range.
    """

    def __init__(self):
        self.plan = []
        self.seen = Counter()  # requests by path
        self.sent = 0  # bytes of files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder, faults, *args):
        self.folder, self.faults = folder, faults
        super().__init__(*args)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        self.faults.seen[self.path] += 1
        fault = self.faults.plan.pop(0) if self.faults.plan else None
        file = self.folder / unquote(self.path).lstrip("/")
        if isinstance(fault, int) or not file.is_file():
            self.send_response(fault if isinstance(fault, int) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "slow":
            time.sleep(1.0)
        content, status = file.read_bytes(), 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and fault != "whole":
            content, status = content[int(asked[1]) : int(asked[2]) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.faults.sent += len(content)
        self.wfile.write(content)


@contextmanager
def serving(folder):
    """Serve a folder; give its URL and the faults of the server."""
    faults = Faults()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder, faults))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
