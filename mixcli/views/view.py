"""Looking at a dataset: the library side of `mixcli view`, and what a notebook shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixcli.checks.selection import Selection, Shown, SourceSelection, select
from mixcli.errors import UsageError
from mixcli.option import takes
from mixcli.settings.commands import Viewing
from mixcli.views.look import Look


class View:
    """Rows of a dataset, loaded; a notebook shows them as a gallery."""

    def __init__(
        self,
        selection: Selection | SourceSelection,
        up: str = "y",
        color: str = "lam",
        ckpt: str | None = None,
        trust: bool = False,
    ):
        self.selection, self.look = selection, Look(up, color)
        self.shown: list[Shown] = selection.load(selection.rows)
        if color == "saliency":
            from mixcli.checks.row_saliency import with_saliency

            self.shown, _ = with_saliency(selection, self.shown, ckpt, trust)

    def html(self) -> str:
        """One file that holds everything and asks for nothing."""
        from mixcli.views.gallery import Gallery, page

        chosen = self.selection
        return page(Gallery(self.shown, chosen.title, chosen.note, self.look, chosen.total))

    def image(self) -> Any:
        """A contact sheet, as a Pillow image."""
        from mixcli.views.sheet import sheet

        return sheet(self.shown, self.look, self.selection.note)

    def save(self, out: str | Path, overwrite: bool = False) -> None:
        """Write a `.png` sheet or a `.html` gallery."""
        out = check_picture(out, overwrite)
        if out.suffix.lower() == ".png":
            self.image().save(out)
        else:
            out.write_text(self.html(), encoding="utf-8")

    def text(self, mode: str, columns: int) -> str:
        """A preview for a terminal, or a table where there is none."""
        from mixcli.views.terminal import preview, table

        return table(self.shown) if mode == "none" else preview(self.shown[:3], columns, mode, self.look.up)

    def cached(self) -> Path:
        """The gallery as a file of the user's cache, for a browser on this desktop."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        out = home / "mixcli" / f"{self.selection.title}.html"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(self.html(), encoding="utf-8")
        return out

    def _repr_html_(self) -> str:
        from mixcli.views.gallery import Gallery, notebook

        return notebook(Gallery(self.shown, self.selection.title, self.selection.note, self.look))


@takes(Viewing)
def view(
    path: str | Path,
    count: int = 12,
    *,
    rows: str | None = None,
    klass: str | None = None,
    sort: str | None = None,
    worst: bool = False,
    seed: int | None = None,
    color: str = "lam",
    up: str = "y",
    source: list[str] | None = None,
    ckpt: str | None = None,
    trust_ckpt: bool = False,
) -> View:
    """Rows of a mixed or a source dataset to look at: `mixcli.view("mixed.h5")` in a notebook shows them.

    rows: as in "3,7-9"; klass: the name of a class; the others as in `mixcli view`.
    """
    chosen = select(path, count, rows=rows, klass=klass, sort=sort, worst=worst, seed=seed, source=source)
    return View(chosen, up, color, ckpt, trust_ckpt)


def wanted(out: str | None, serve: bool, gui: bool, environ: Mapping[str, str], isatty: bool, encoding: str) -> str:
    """How to show: file, serve, gui, desktop, or a mode of `terminal`; from the environment alone."""
    if sum((bool(out), serve, gui)) > 1:
        raise UsageError("-o, --serve and --gui are three ways to look: choose one")
    if gui:
        from mixcli.views.open3d_window import check_display

        check_display(environ)
    if out or serve or gui:
        return "file" if out else "serve" if serve else "gui"
    has_screen = sys.platform in ("darwin", "win32") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    if isatty and has_screen and not environ.get("SSH_CONNECTION"):
        return "desktop"
    from mixcli.views.terminal import mode

    return mode(environ, isatty, encoding)


def check_picture(out: str | Path, overwrite: bool) -> Path:
    """The name is one that can be written."""
    out = Path(out)
    if out.suffix.lower() not in (".png", ".html"):
        raise UsageError("must end in .png (a contact sheet) or .html (a gallery)", at=f"-o {out}")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", advice="--overwrite replaces it")
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist", at=f"-o {out}")
    return out
