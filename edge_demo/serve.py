"""Serves a site that `export_web` wrote to the browsers of this machine, with the headers that it needs."""

import sys
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from typing import Any

from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest

PORT = 8000
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src 'self' blob: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # the browser asks whether a file has changed; the service worker keeps the files
}
_TYPES = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".md": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".tflite": "application/octet-stream",
}


class _Handler(SimpleHTTPRequestHandler):
    def guess_type(self, path: "str | PathLike[str]") -> str:
        return _TYPES.get(Path(path).suffix) or super().guess_type(path)

    def do_GET(self) -> None:
        """Answer with the file, also where the browser asks only for a file newer than its own.

        Another version of a site may have files of the same second or older ones, and would not be found.
        """
        del self.headers["If-Modified-Since"]
        super().do_GET()

    def send_head(self) -> Any:
        """Answer 404 also to a name that no file can have, such as one with a null character."""
        try:
            return super().send_head()
        except ValueError:
            self.send_error(404)
            return None

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """Show no lists of files."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Print no line per request."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no error if the browser has left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def make_server(site: Path | str, port: int = PORT) -> ThreadingHTTPServer:
    """Return a server for the browsers of this machine alone; `serve_forever` starts it.

    Args:
        site: the folder that `export_web` wrote.
        port: the port; 0 takes a free one.

    Raises:
        KerasDrError: the folder is no site, or the port is taken.
    """
    read_manifest(Path(site), "site")
    try:
        return _Server(("127.0.0.1", port), partial(_Handler, directory=str(site)))
    except OSError as error:
        message = f"The port {port} of this machine cannot be used: {error.strerror or error}."
        raise KerasDrError(message, "Choose another one with --port.") from error


def serve(site: Path | str, port: int = PORT, opened: Callable[[str], object] = print) -> None:
    """Serve a site until the process is interrupted.

    Args:
        site: the folder that `export_web` wrote.
        port: the port.
        opened: called with the page's address when the server runs.

    Raises:
        KerasDrError: as for `make_server`.
    """
    with make_server(site, port) as server:
        opened(f"http://localhost:{server.server_address[1]}/")
        server.serve_forever()
