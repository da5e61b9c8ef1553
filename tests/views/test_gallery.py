"""The gallery: what is in the file is the data, hostile names stay text, and a real browser can use it."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mixcli.checks.selection import Shown, select
from mixcli.views.gallery import NOTEBOOK, STEPS, Gallery, notebook, page, payload, policy, script_json
from mixcli.views.serve import Server

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)> {{data}} \u2028 & \" '"


def sphere(seed: int, count: int = 300) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def shown(row: int, count: int = 300, **changes) -> Shown:
    """A mix of two spheres, by height, of parents 1 and `row` % 3 + 2."""
    rng = np.random.default_rng(row)
    a, b, partner = sphere(1, count), sphere(row % 3 + 2, count), rng.permutation(count)
    lam = ((a[:, 1] + 1) / 2).astype(np.float32)
    data = lam[:, None] * a + (1 - lam[:, None]) * b[partner]
    other = row % 3 + 1
    names = ("chair", f"class {other}")
    one = Shown(row, "sagemix", data, lam, (1, other + 1), (0, other), (0.75, 0.25), names, (a, b), partner)
    return replace(one, **changes)


def source(row: int, cloud: np.ndarray) -> Shown:
    return Shown(row, "source", cloud, None, (), (0,), (1.0,), ("chair",))


def read_json(text: str) -> dict:
    """The data as a browser finds it."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def cloud_of(packed: dict) -> np.ndarray:
    return numbers(packed["xyz"], "<i2").reshape(-1, 3) * packed["step"] + packed["centre"]


# ---------- what is in the file ----------


def test_the_file_holds_the_data_to_quantisation():
    one = shown(3, saliency=np.linspace(0, 7, 300).astype(np.float32))
    content = read_json(page(Gallery([one], "mixed.h5")))
    row = content["rows"][0]
    for index, cloud in [(row["cloud"], one.data), *zip(row["parents"], one.parents, strict=True)]:
        assert np.abs(cloud_of(content["clouds"][index]) - cloud).max() < 2 / STEPS
    assert np.abs(numbers(row["lam"], "u1") / 255 - one.lam).max() <= 0.5 / 255 + 1e-6
    assert numbers(row["partner"], "<u2").tolist() == one.partner.tolist()
    assert np.abs(row["peak"] * (numbers(row["saliency"], "u1") / 255) ** 2 - one.saliency).max() < 7 / 255
    assert (row["row"], row["parent"], row["weight"]) == (3, [1, 2], [0.75, 0.25])


def test_clouds_far_from_the_origin_keep_their_detail():
    cloud = sphere(0) * np.float32(0.01) + np.float32(50)
    packed = payload(Gallery([source(0, cloud)], "x"))["clouds"][0]
    assert np.abs(cloud_of(packed) - cloud).max() < 0.01 * 2 / STEPS + 1e-6


def test_a_shared_parent_is_there_once():
    content = payload(Gallery([shown(i) for i in range(12)], "x"))
    assert len(content["clouds"]) == 12 + 4, "twelve mixes; parent 1, and 2 to 4"


def test_more_points_than_uint16():
    one = source(0, sphere(0, 70000))
    one = replace(one, partner=np.arange(70000)[::-1])
    row = payload(Gallery([one], "x"))["rows"][0]
    assert row["wide"] and numbers(row["partner"], "<u4").tolist() == one.partner.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_left_out_and_counted(bad):
    cloud = sphere(0)
    cloud[5, 1] = bad
    one = shown(0, data=cloud, lam=np.full(300, bad, np.float32), weight=(bad, 0.5), saliency=np.full(300, bad))
    content = read_json(page(Gallery([one], "x")))
    packed, row = content["clouds"][content["rows"][0]["cloud"]], content["rows"][0]
    assert (numbers(packed["xyz"], "<i2").reshape(-1, 3)[5] == -STEPS - 1).all()
    assert row["holes"] == 1 and row["weight"] == [None, 0.5] and np.isfinite(row["radius"])


def test_one_point_and_no_rows():
    assert read_json(page(Gallery([source(0, np.zeros((1, 3), np.float32))], "x")))["rows"][0]["radius"] == 1.0
    assert read_json(page(Gallery([], "x")))["rows"] == []


def test_colours_that_cannot_be_had_say_why():
    absent = payload(Gallery([source(0, sphere(0))], "x"))["absent"]
    assert "source" in absent["lam"] and absent["parent"] and "--color saliency" in absent["saliency"]
    absent = payload(Gallery([shown(0, saliency=np.ones(300))], "x"))["absent"]
    assert absent == {"lam": "", "parent": "", "saliency": ""}


def test_hard_mixes_count_what_each_parent_gave():
    lam = (np.arange(300) < 100).astype(np.float32)
    rows = payload(Gallery([shown(0, lam=lam), shown(1)], "x"))["rows"]
    assert rows[0]["hard"] and rows[0]["used"] == [100, 200] and not rows[1]["hard"]


def test_200_rows_of_1024_points_are_under_10_mb():
    rows = [shown(i, 1024, parents=(sphere(1000 + i, 1024), sphere(2000 + i, 1024))) for i in range(200)]
    assert len(page(Gallery(rows, "x"))) < 10e6, "though no parent is shared"


# ---------- names that nobody vouches for ----------


def test_hostile_names_stay_text():
    one = shown(0, names=(HOSTILE, "b\ud800"), method=HOSTILE)
    text = page(Gallery([one], HOSTILE, HOSTILE))
    content = read_json(text)
    assert content["title"] == content["note"] == content["rows"][0]["names"][0] == HOSTILE
    assert len(re.findall(r"</?script", text, re.IGNORECASE)) == 4 and "<img" not in text and "\u2028" not in text
    assert text.isprintable() or text.encode("utf-8"), "a lone surrogate is escaped, so the file can be written"


def test_nothing_may_be_loaded():
    assert policy().startswith("default-src 'none';") and "unsafe" not in policy() and "http" not in policy()
    text = page(Gallery([shown(0)], "x"))
    assert f'content="{policy()}"' in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)
    assert "innerHTML" not in text and "eval(" not in text


def test_script_json_is_json():
    assert json.loads(script_json(HOSTILE)) == HOSTILE


def test_notebook_is_a_sandboxed_frame_of_few_samples():
    text = notebook(Gallery([shown(i) for i in range(30)], HOSTILE))
    assert text.count("<") == 2 and 'sandbox="allow-scripts"' in text
    content = read_json(html.unescape(re.findall(r'srcdoc="([^"]*)"', text)[0]))
    assert len(content["rows"]) == NOTEBOOK and "first 24 of 30" in content["note"]


# ---------- a real browser ----------


class Browser:
    """Chromium through its driver's HTTP protocol."""

    def __init__(self, home, size=(1320, 900)):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        self.base = "http://127.0.0.1:" + self._port()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
                 f"--user-data-dir={home}", f"--window-size={size[0]},{size[1]}"]  # fmt: skip
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        try:
            found = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except Exception:
            self._end()
            raise
        self.session = "/session/" + found["sessionId"]

    def _port(self) -> str:
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return found[1]
        raise RuntimeError("chromedriver did not start")

    def _ask(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def go(self, url: str) -> None:
        self._ask("POST", self.session + "/url", {"url": url})
        self.wait("document.documentElement.dataset.ready")

    def run(self, script: str):
        return self._ask("POST", self.session + "/execute/sync", {"script": "return " + script, "args": []})

    def wait(self, script: str):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def act(self, *moves: dict, kind: str = "pointer") -> None:
        source = {"type": kind, "id": kind, "actions": list(moves)}
        self._ask("POST", self.session + "/actions", {"actions": [source]})

    def move(self, x: float, y: float) -> None:
        self.act({"type": "pointerMove", "x": int(x), "y": int(y), "duration": 0})

    def click(self, selector: str, times: int = 1) -> None:
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({find(selector)}.getBoundingClientRect())")
        press = [{"type": "pointerMove", "x": int(x), "y": int(y), "duration": 0}]
        self.act(*press, *times * [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}])

    def press(self, key: str) -> None:
        self.act({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}, kind="key")

    def choose(self, select: str, value: str) -> None:
        change = f"s.value = {json.dumps(value)}; s.dispatchEvent(new Event('change'));"
        self.run(f"(s => {{ {change} }})(document.getElementById('{select}'))")

    def picture(self) -> Image.Image:
        raw = base64.b64decode(self._ask("GET", self.session + "/screenshot"))
        return Image.open(io.BytesIO(raw)).convert("RGB")

    def tile(self, card: int, slot: str) -> np.ndarray:
        """Pixels of one tile, as drawn -> (h,w,3)."""
        script = f"(r => [r.x, r.y, r.right, r.bottom])({find(view(card, slot))}.getBoundingClientRect())"
        return np.asarray(self.picture().crop([round(v) for v in self.run(script)])).astype(int)

    def errors(self) -> list[str]:
        found = self._ask("POST", self.session + "/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses asked for, but the file itself and what is inside it."""
        found = self._ask("POST", self.session + "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in found]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file:", "data:", "about:", "chrome:"))]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ask("DELETE", self.session)
        self._end()

    def _end(self) -> None:
        self.driver.terminate()
        self.driver.wait(20)
        self.driver.stdout.close()


def find(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"


def view(card: int, slot: str) -> str:
    return f"main article:nth-child({card + 1}) .{slot} .view"


def share_of(pixels: np.ndarray, colour: str) -> float:
    """Share of pixels that are clearly orange, or blue."""
    warm = pixels[..., 0] - pixels[..., 2]
    return float((warm > 50).mean() if colour == "orange" else (warm < -50).mean())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} (Debian packages chromium and chromium-driver)")
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Twelve rows, the first with hostile names, one unmixed, one with saliency."""
    rows = [shown(i) for i in range(12)]
    rows[0] = replace(rows[0], names=(HOSTILE, "b" * 200), method=HOSTILE)
    rows[1] = replace(rows[1], saliency=np.linspace(0, 1, 300))
    rows[11] = source(11, sphere(9))
    path = tmp_path / "gallery <b> #1.html"
    path.write_text(page(Gallery(rows, HOSTILE, "a note")), encoding="utf-8")
    browser.errors(), browser.requests()
    browser.go(path.as_uri())
    yield browser
    assert browser.errors() == [] and browser.requests() == []


def point_at(browser: Browser, card: int, slot: str) -> str:
    """Move over the tile until a point answers -> what the tip says."""
    box = browser.run(f"(r => [r.x, r.y, r.width, r.height])({find(view(card, slot))}.getBoundingClientRect())")
    for dy in (0.5, 0.45, 0.55):
        for dx in (0.5, 0.45, 0.55, 0.4, 0.6):
            browser.move(box[0] + dx * box[2], box[1] + dy * box[3])
            if not browser.run("document.getElementById('tip').hidden"):
                return browser.run("document.getElementById('tip').textContent")
    raise AssertionError("no point answered")


def test_tiles_are_drawn_in_their_colours(opened):
    assert share_of(opened.tile(1, "slot0"), "orange") > 0.15 and share_of(opened.tile(1, "slot0"), "blue") == 0
    assert share_of(opened.tile(1, "slot1"), "blue") > 0.15 and share_of(opened.tile(1, "slot1"), "orange") == 0
    mix = opened.tile(1, "mixed")
    half = len(mix) // 2
    assert share_of(mix[:half], "orange") > share_of(mix[half:], "orange"), "lambda 1 is on top here"
    assert share_of(mix[half:], "blue") > share_of(mix[:half], "blue")


def test_only_what_is_seen_is_drawn(opened):
    assert opened.run("[...document.querySelectorAll('canvas')].filter(c => c.width > 0).length") < 34
    opened.run(f"{find('main article:nth-child(12)')}.scrollIntoView()")
    opened.wait(f"{find('main article:nth-child(12) canvas')}.width > 0")
    opened.wait(f"{find('main article:nth-child(1) canvas')}.width === 0")


def test_colours_change_by_key_and_by_click(opened):
    lam = opened.tile(1, "mixed")
    opened.press("p")
    opened.wait(f"{find('[data-mode=parent]')}.getAttribute('aria-pressed') === 'true'")
    time.sleep(0.3)
    parent = opened.tile(1, "mixed")
    assert share_of(parent, "orange") + share_of(parent, "blue") > share_of(lam, "orange") + share_of(lam, "blue")
    opened.click("[data-mode=saliency]")
    time.sleep(0.3)
    assert np.abs(opened.tile(1, "mixed") - parent).mean() > 5
    assert share_of(opened.tile(1, "slot1"), "blue") == 0, "parents step back"


def test_a_colour_that_cannot_be_had_says_why(browser, tmp_path):
    path = tmp_path / "plain.html"
    path.write_text(page(Gallery([shown(0)], "plain")), encoding="utf-8")
    browser.go(path.as_uri())
    assert browser.run(f"{find('[data-mode=saliency]')}.getAttribute('aria-disabled')") == "true"
    browser.press("s")
    assert "--color saliency" in browser.wait("document.getElementById('note').textContent")


def test_pointing_tells_lambda_and_rings_the_sources(opened):
    text = point_at(opened, 1, "mixed")
    number = int(re.search(r"point (\d+)", text)[1])
    lam, partner = shown(1).lam[number], int(shown(1).partner[number])
    assert abs(float(re.search(r"λ ([\d.]+)", text)[1]) - lam) < 0.003
    assert f"A chair point {number}" in text and f"B class 2 point {partner}" in text and "saliency" in text
    slots = opened.run("[...document.querySelectorAll('.ring')].map(r => r.closest('figure').className)")
    assert sorted(slots) == ["mixed", "slot0", "slot1"]
    number, partner = map(int, re.findall(r"point (\d+)$", point_at(opened, 1, "slot1"), re.MULTILINE)[1:])
    assert shown(1).partner[number] == partner, "pointing at a parent finds the mix's point"
    opened.move(2, 2)
    assert opened.run("document.querySelectorAll('.ring').length") == 0


def test_rings_are_where_the_points_are(opened):
    """The page's projection is that of the sheet's pictures."""
    from mixcli.views.cloud_drawing import turn

    text = point_at(opened, 1, "mixed")
    number, one = int(re.search(r"point (\d+)", text)[1]), shown(1)
    row = payload(Gallery([one], "x"))["rows"][0]
    for slot, cloud, i in (("mixed", one.data, number), ("slot1", one.parents[1], one.partner[number])):
        seen = turn((cloud[i] - row["centre"])[None], "y")[0] / row["radius"] * 0.46
        at = opened.run(
            f"(() => {{ const v = {find(view(1, slot))}.getBoundingClientRect(),"
            f" r = {find(view(1, slot) + ' .ring')}.getBoundingClientRect();"
            " return [(r.x + r.width / 2 - v.x) / v.width, (r.y + r.height / 2 - v.y) / v.height]; })()"
        )
        assert np.allclose(at, [0.5 + seen[0], 0.5 - seen[1]], atol=0.005)


def test_dragging_turns_all_tiles(opened):
    before = [opened.tile(card, "slot1") for card in (0, 1)]
    x, y = opened.run(f"(r => [r.x + 60, r.y + 60])({find(view(1, 'mixed'))}.getBoundingClientRect())")
    moves = [{"type": "pointerMove", "x": int(x) + d, "y": int(y), "duration": 20} for d in (0, 40, 80)]
    opened.act(moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0})
    time.sleep(0.5)
    for card, was in zip((0, 1), before, strict=True):
        assert np.abs(opened.tile(card, "slot1") - was).mean() > 5


def test_a_finger_taps(opened):
    x, y = opened.run(f"(r => [r.x + 100, r.y + 100])({find(view(1, 'slot0'))}.getBoundingClientRect())")
    touch = {"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"}}
    moves = [{"type": "pointerMove", "x": int(x), "y": int(y), "duration": 0}]
    touch["actions"] = [*moves, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
    opened._ask("POST", opened.session + "/actions", {"actions": [touch]})
    assert "λ" in opened.run("document.getElementById('tip').textContent")
    assert opened.run("document.querySelectorAll('.ring').length") == 3


def test_a_double_click_enlarges(opened):
    opened.click(view(1, "mixed"), times=2)
    assert opened.wait("document.getElementById('big').open")


def test_the_keyboard_alone_will_do(opened):
    before = opened.tile(1, "slot0")
    opened.run(f"{find('main article:nth-child(2) .stage')}.focus()")
    opened.press("\ue014")  # right
    time.sleep(0.5)
    assert np.abs(opened.tile(1, "slot0") - before).mean() > 2
    opened.press("]")
    assert opened.run("document.getElementById('say').textContent").startswith("point 0")
    opened.press("\ue007")  # enter
    assert opened.wait("document.getElementById('big').open")
    opened.wait(f"{find('#held .mixed canvas')}.width > 500")
    opened.press("\ue00c")  # escape
    opened.wait("!document.getElementById('big').open")
    assert opened.run("document.activeElement.className") == "stage"


def test_filters(opened):
    visible = "[...document.querySelectorAll('main article')].filter(a => !a.hidden).length"
    opened.choose("klass", "2")
    assert opened.run(visible) == 4 and "4 of 12" in opened.run("document.getElementById('count').textContent")
    opened.choose("method", "source")
    assert opened.run(visible) == 0 and not opened.run("document.getElementById('empty').hidden")


def test_the_theme_follows_the_system(opened):
    def system(theme: str) -> None:
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        command = {"cmd": "Emulation.setEmulatedMedia", "params": media}
        opened._ask("POST", opened.session + "/goog/cdp/execute", command)

    system("dark")
    opened.wait("document.documentElement.dataset.theme === 'dark'")
    system("light")
    opened.wait("document.documentElement.dataset.theme === 'light'")


def test_dark(opened):
    opened.run("document.getElementById('theme').click()")
    time.sleep(0.3)
    assert np.asarray(opened.picture()).mean() < 110 and share_of(opened.tile(1, "slot0"), "orange") > 0.15


def test_hostile_names_are_shown_as_text(opened):
    assert opened.run("document.querySelectorAll('script').length") == 2
    assert opened.run("document.querySelectorAll('img').length") == 0
    assert opened.run("document.getElementById('title').textContent") == HOSTILE
    assert opened.run(f"{find('main article .slot0 b')}.textContent") == HOSTILE
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")


def test_200_rows_open_quickly(browser, tmp_path):
    rows = [shown(i, 1024) for i in range(200)]
    path = tmp_path / "many.html"
    path.write_text(page(Gallery(rows, "many")), encoding="utf-8")
    browser.go(path.as_uri())
    assert int(browser.run("document.documentElement.dataset.ready")) < 2000


def test_a_notebook_shows_it(browser, tmp_path):
    path = tmp_path / "notebook.html"
    frame = notebook(Gallery([shown(i) for i in range(3)], "n"))
    path.write_text("<!doctype html><meta charset=utf-8>" + frame, encoding="utf-8")
    browser.errors()
    browser._ask("POST", browser.session + "/url", {"url": path.as_uri()})
    time.sleep(1)
    assert share_of(np.asarray(browser.picture()).astype(int), "blue") > 0.01 and browser.errors() == []


def test_pages_of_a_server(browser, sample):
    with Server(select(sample / "clouds" / "train_files.txt", None)) as server:
        threading.Thread(target=server.run, daemon=True).start()
        try:
            browser.errors()
            browser.go(server.url)
            assert "1 to 24 of 160" in browser.run("document.getElementById('count').textContent")
            browser.click("#pages a[rel=next]")
            browser.wait("document.getElementById('count').textContent.startsWith('25 to 48')")
            browser.choose("klass", "1")
            browser.wait("location.search === '?class=1' && document.documentElement.dataset.ready")
            assert browser.run("document.getElementById('klass').value") == "1"
            assert browser.run("location.href").startswith(server.url) and browser.errors() == []
        finally:
            server.stop()
