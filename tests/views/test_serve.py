"""Pages for one person: who may ask, what they get, and that it ends cleanly."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
from test_gallery import read_json

from mixcli.checks.selection import Shown, select
from mixcli.errors import MixError, UsageError
from mixcli.views.serve import ADDRESS, PAGE, Server, serve


class Rows:
    """A selection that notes what is read of it."""

    title, note, classes = "many <b>.h5", "", ("chair", "lamp & co")

    def __init__(self, total: int = 50):
        self.total, self.rows, self.read = total, np.arange(total), []

    def of_class(self, label: int) -> np.ndarray:
        return self.rows % 2 == label

    def load(self, rows: np.ndarray) -> list[Shown]:
        self.read.append(rows.tolist())
        cloud = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        return [Shown(int(r), "source", cloud, None, (), (int(r) % 2,), (1.0,), (self.classes[r % 2],)) for r in rows]


@contextlib.contextmanager
def running(selection):
    with serve(selection) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()


def ask(
    server: Server, path: str, host: str | None = "", method: str = "GET"
) -> tuple[int, str, http.client.HTTPMessage]:
    """host: of the header; None sends none."""
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host or f"{ADDRESS}:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def served(server: Server, query: str = "") -> dict:
    status, text, _ = ask(server, f"/{server.token}/{query}")
    assert status == 200, text
    return read_json(text)


@pytest.fixture(scope="module")
def many():
    with running(Rows()) as server:
        yield server


def test_a_page_holds_its_rows_and_reads_no_more(many):
    content = served(many, "?page=2")
    assert [row["row"] for row in content["rows"]] == list(range(24, 48))
    assert all(len(rows) <= PAGE for rows in many.pages.selection.read)
    assert list(range(24, 48)) in many.pages.selection.read
    assert content["total"] == 50 and content["served"]["pages"] == 3
    assert (content["served"]["previous"], content["served"]["next"]) == ("?page=1", "?page=3")
    assert len(served(many, "?page=3")["rows"]) == 2 and served(many, "?page=3")["served"]["next"] is None


def test_a_class_is_chosen_and_stays_chosen(many):
    content = served(many, "?class=1")
    assert [row["row"] for row in content["rows"]][:3] == [1, 3, 5] and content["served"]["count"] == 25
    assert content["served"]["next"] == "?class=1&page=2" and content["served"]["class"] == "1"
    assert content["classes"] == [["0", "chair"], ["1", "lamp & co"]]


NO_PAGE = ["page=0", "page=4", "page=-1", "page=x", "page=%C2%B2", f"page={'9' * 5000}"]


@pytest.mark.parametrize("query", [*NO_PAGE, "class=2", "class=chair", "sort=lam"])
def test_what_does_not_exist_is_404(many, query):
    status, text, headers = ask(many, f"/{many.token}/?{query}")
    assert status == 404 and headers["Content-Type"].startswith("text/plain") and len(text) < 200


@pytest.mark.parametrize("path", ["/{}", "/{}/x", "/{}/../etc/passwd", "/{}//"])
def test_other_paths_are_404(many, path):
    assert ask(many, path.format(many.token))[0] == 404


@pytest.mark.parametrize("path", ["/", "/wrong/", "//", "/{}x/", "/%00/", "/favicon.ico"])
def test_without_the_token_there_is_nothing(many, path):
    status, text, _ = ask(many, path.format(many.token))
    assert status == 403 and many.token not in text and "many" not in text


@pytest.mark.parametrize(
    "host", [None, "evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.2:80", "[::2]:80"]
)
def test_another_host_is_refused(many, host):
    """A page that points its own name at 127.0.0.1 still sends that name."""
    assert ask(many, f"/{many.token}/", host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:1234", "[::1]:8000", "LOCALHOST:8000"])
def test_a_forwarded_port_is_not(many, host):
    assert ask(many, f"/{many.token}/", host)[0] == 200


def test_headers_and_head(many):
    status, text, headers = ask(many, f"/{many.token}/", method="HEAD")
    assert status == 200 and text == "" and int(headers["Content-Length"]) > 1000
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff" and "Python" not in headers["Server"]
    assert ask(many, f"/{many.token}/", method="POST")[0] == 501


def test_only_this_machine_is_listened_to(many):
    assert many._http.server_address[0] == "127.0.0.1"
    assert many.url == f"http://127.0.0.1:{many.port}/{many.token}/" and len(many.token) >= 32


def test_a_path_that_is_no_text(many):
    with socket.create_connection((ADDRESS, many.port)) as client:
        client.sendall(b"GET /\xff\xfe/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b" 403 " in client.makefile("rb").readline()


def test_tokens_differ():
    with serve(Rows()) as one, serve(Rows()) as two:
        assert one.token != two.token and one.port != two.port


def test_ssh_line(many, monkeypatch):
    monkeypatch.setattr("mixcli.views.serve.getpass.getuser", lambda: "ada")
    line = f"ssh -N -L {many.port}:127.0.0.1:{many.port} "
    assert many.ssh_line({"SSH_CONNECTION": "10.0.0.9 5000 10.0.0.1 22"}) == line + "ada@10.0.0.1"
    assert many.ssh_line({"SSH_CONNECTION": "10.0.0.9 5000 10.0.0.1 2200"}) == line + "-p 2200 ada@10.0.0.1"
    assert "'" in many.ssh_line({"SSH_CONNECTION": "a b $(x) 22"}), "quoted for a shell"
    assert many.ssh_line({}) is None and many.ssh_line({"SSH_CONNECTION": "odd"}) is None


def test_a_port_in_use_is_an_error_in_words(many):
    with pytest.raises(UsageError, match=rf"--port {many.port}: .*--port 0"):
        serve(Rows(), many.port)


def test_what_goes_wrong_in_a_page_is_told(many, monkeypatch):
    def broken(rows):
        raise MixError("many.h5[3]: NaN in 'data'")

    monkeypatch.setattr(many.pages.selection, "load", broken)
    status, text, _ = ask(many, f"/{many.token}/")
    assert (status, text) == (500, "This page cannot be shown: many.h5[3]: NaN in 'data'\n")
    monkeypatch.undo()
    assert ask(many, f"/{many.token}/")[0] == 200


def test_a_browser_that_goes_away_is_no_news(many, capfd):
    for _ in range(5):
        with socket.create_connection((ADDRESS, many.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
            client.sendall(f"GET /{many.token}/ HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    assert ask(many, f"/{many.token}/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_several_at_once(many):
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(ask(many, f"/{many.token}/")[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 12


# ---------- real datasets ----------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, sample):
    import mixcli

    out = tmp_path_factory.mktemp("mixed") / "mixed.h5"
    mixcli.mix("sagemix", str(sample / "clouds" / "test_files.txt"), out, ckpt=str(sample / "dgcnn.pt"), theta=1.0)
    return out


def test_a_mixed_dataset_sorted(mixed):
    with h5py.File(mixed) as file:
        weight = file["weight"][:, 0]
    with running(select(mixed, None)) as server:
        rows = served(server, "?sort=lam")["rows"]
        assert [row["row"] for row in rows] == np.argsort(weight, kind="stable")[:PAGE].tolist()
        assert [key for key, _ in served(server)["served"]["sorts"]] == ["", "row", "lam", "even"]
        even = [row["weight"][0] for row in served(server, "?sort=even")["rows"]]
        assert abs(even[0] - 0.5) <= abs(even[-1] - 0.5)
        assert served(server, "?class=0&sort=even")["served"]["next"] in (None, "?class=0&sort=even&page=2")


def test_a_source_dataset(sample):
    with running(select(sample / "clouds" / "test_files.txt", None)) as server:
        content = served(server)
        assert content["rows"][0]["method"] == "source" and len(content["served"]["sorts"]) == 1


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_it_cleanly(sample):
    code = (
        "from mixcli.views.serve import serve; from mixcli.checks.selection import select\n"
        f"with serve(select({str(sample / 'clouds' / 'test_files.txt')!r}, None)) as server:\n"
        "    print(server.port, server.token, flush=True)\n"
        "    try: server.run()\n"
        "    except KeyboardInterrupt: print('ended', flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        port, token = child.stdout.readline().split()
        connection = http.client.HTTPConnection(ADDRESS, int(port), timeout=20)
        connection.request("GET", f"/{token}/", headers={"Host": "localhost"})
        assert connection.getresponse().status == 200
        idle = socket.create_connection((ADDRESS, int(port)))  # asks nothing, and must not hold the end up
        time.sleep(0.1)
        os.kill(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=10)
        idle.close()
    finally:
        child.kill()
    assert (out, err, child.returncode) == ("ended\n", "", 0)
