"""The gallery in pages, for datasets of any size: a server for one person on this machine, or through `ssh -L`.

Other users of the machine can reach the port, and so can any web page that the browser has open: hence the random
token in the path, and the check of the Host header, without which a page could rename itself to 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import getpass
import hmac
import logging
import os
import secrets
import shlex
import socketserver
import threading
from collections.abc import Mapping
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from mixcli.checks.selection import Selection, SourceSelection
from mixcli.errors import MixError, UsageError
from mixcli.views.gallery import Gallery, page
from mixcli.views.look import Look

ADDRESS, PAGE = "127.0.0.1", 24
HOSTS = ("127.0.0.1", "localhost", "[::1]")  # any port: `ssh -L` may lead from another one
SORTS = {"row": "row", "lam": "λ", "even": "evenest first"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
}
log = logging.getLogger(__name__)


class NotThere(Exception):
    """A query that names no page."""


class Server:
    """Listens from the start; `run` answers until it is interrupted.

    with serve(select("mixed.h5", None)) as server:
        print(server.url)
        server.run()
    """

    def __init__(self, selection: Selection | SourceSelection, port: int = 0, up: str = "y", color: str = "lam"):
        self.pages = Pages(selection, Look(up, color))
        self.token = secrets.token_urlsafe(24)
        try:
            self._http = _Http((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as e:
            reason = str((e.strerror if isinstance(e, OSError) else None) or e)
            raise UsageError(reason, at=f"--port {port}", advice="--port 0 takes a free one") from e
        self._http.owner = self
        self.port: int = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    def ssh_line(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """What to type on the computer that this one was reached from, where it was reached by SSH."""
        ends = environ.get("SSH_CONNECTION", "").split()
        if len(ends) != 4:
            return None
        _, _, here, port = ends
        extra = [] if port == "22" else ["-p", port]
        words = ["ssh", "-N", "-L", f"{self.port}:{ADDRESS}:{self.port}", *extra, f"{_user()}@{here}"]
        return shlex.join(words)

    def run(self) -> None:
        """Until Ctrl-C, which is passed on, or until another thread calls `stop`."""
        threading.Thread(target=self._warm, daemon=True).start()
        self._http.serve_forever(poll_interval=0.2)

    def _warm(self) -> None:
        """Compiled code is loaded while the address is still being copied: the first page is then as fast as any."""
        with contextlib.suppress(Exception):
            self.pages.html({})

    def stop(self) -> None:
        self._http.shutdown()

    def close(self) -> None:
        """Free the port; a page that is being read is let finish, since HDF5 cannot be left in the middle."""
        self._http.server_close()
        if self.pages.lock.acquire(timeout=10):
            self.pages.lock.release()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(selection: Selection | SourceSelection, port: int = 0, up: str = "y", color: str = "lam") -> Server:
    """A server that listens already; its `url` and `ssh_line()` are for the caller to show."""
    return Server(selection, port, up, color)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this uid, as in many containers
        return "USER"


class Pages:
    """A selection cut into pages. Reads the rows of one page, never more."""

    def __init__(self, selection: Selection | SourceSelection, look: Look):
        self.selection, self.look = selection, look
        self.lock = threading.Lock()
        self._chosen = lru_cache(16)(self._choose)

    def html(self, query: Mapping[str, str]) -> str:
        """The page that `page`, `class` (its number) and `sort` ask for."""
        label, sort = self._label(query.get("class", "")), query.get("sort", "")
        if sort and sort not in self.sorts:
            raise NotThere(f"no such sort: {sort}")
        with self.lock:
            rows = self._chosen(label, sort)
            at, last = _page_number(query.get("page", "1")), max(1, -(-len(rows) // PAGE))
            if at > last:
                raise NotThere(f"there are {last} pages")
            shown = self.selection.load(rows[(at - 1) * PAGE : at * PAGE])
        served, chosen = self._served(query, at, last, len(rows)), self.selection
        return page(Gallery(shown, chosen.title, chosen.note, self.look, total=chosen.total, served=served))

    @property
    def sorts(self) -> dict[str, str]:
        return SORTS if isinstance(self.selection, Selection) else {}

    def _label(self, value: str) -> int | None:
        if not value:
            return None
        if not (value.isascii() and value.isdigit() and int(value[:9]) < len(self.selection.classes)):
            raise NotThere("no such class")
        return int(value)

    def _choose(self, label: int | None, sort: str) -> np.ndarray:
        """Rows of the selection, filtered and sorted (m,) i64."""
        rows = self.selection.rows
        if label is not None:
            rows = rows[self.selection.of_class(label)[rows]]
        if sort == "row":
            return np.sort(rows)
        if sort:
            lam = self.selection.lam[rows]
            return rows[np.argsort(lam if sort == "lam" else abs(lam - 0.5), kind="stable")]
        return rows

    def _served(self, query: Mapping[str, str], at: int, last: int, count: int) -> dict[str, Any]:
        """Where the page is among others, for its controls."""
        kept = {k: v for k, v in query.items() if k in ("class", "sort") and v}
        return {
            "page": at,
            "pages": last,
            "first": min((at - 1) * PAGE + 1, count),
            "last": min(at * PAGE, count),
            "count": count,
            "previous": _link(kept, at - 1) if at > 1 else None,
            "next": _link(kept, at + 1) if at < last else None,
            "classes": [[str(i), name] for i, name in enumerate(self.selection.classes)],
            "class": query.get("class", ""),
            "sorts": [["", "as chosen"], *([k, v] for k, v in self.sorts.items())],
            "sort": query.get("sort", ""),
        }


def _link(kept: Mapping[str, str], at: int) -> str:
    return "?" + urlencode({**kept, "page": at})


def _page_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12])):
        raise NotThere("no such page")
    return int(text[:12])


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let another program take the port over
    owner: Server

    def server_bind(self) -> None:
        """Without the parent's look-up of a host name, which waits for a name server where there is none."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news, and the library does not print."""
        log.debug("request of %s", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = 30  # seconds for a request to arrive
    server_version, sys_version = "mixcli", ""

    def do_GET(self) -> None:
        status, kind, text = self._answer()
        body = text.encode("utf-8", "replace")  # a file name may hold what is no text
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def _answer(self) -> tuple[int, str, str]:
        plain, owner = "text/plain; charset=utf-8", self.server.owner
        path, _, query = self.path.partition("?")
        token, slash, rest = path.removeprefix("/").partition("/")
        if not _is_here(self.headers.get_all("Host", [])) or not _same(token, owner.token):
            return 403, plain, "Forbidden. The address is the one that mixcli printed, token and all.\n"
        if rest or not slash:
            return 404, plain, "Not found.\n"
        try:
            return 200, "text/html; charset=utf-8", owner.pages.html(dict(parse_qsl(query)))
        except NotThere as e:
            return 404, plain, f"Not found: {e}\n"
        except (MixError, OSError, ValueError) as e:
            log.debug("page", exc_info=True)
            return 500, plain, f"This page cannot be shown: {e}\n"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _is_here(hosts: list[str]) -> bool:
    """One Host header, and it names this machine.

    >>> _is_here(["localhost:8000"]), _is_here(["evil.example:8000"]), _is_here([])
    (True, False, False)
    """
    if len(hosts) != 1:
        return False
    name, colon, port = hosts[0].strip().lower().rpartition(":")
    if colon and port.isdigit():
        return name in HOSTS
    return hosts[0].strip().lower() in HOSTS


def _same(given: str, token: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
