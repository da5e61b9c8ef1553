"""Who may know what: one rule a room, held by reading every import of every module, wherever in the file it stands.

Rooms are the folders of `mixcli/`, and each module beside them is a room of its own. `docs/architecture.md` draws them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from conftest import ROOT

import mixcli

PACKAGE = ROOT / "mixcli"
BASE = ("errors", "rng", "jit", "text", "values", "option")  # what every room may use


@dataclass(frozen=True)
class Room:
    """What the modules of a room may import beside themselves, the base and Python's own library."""

    rooms: tuple[str, ...] = BASE
    packages: tuple[str, ...] = ()  # of others, wherever in a file
    late: tuple[str, ...] = ()  # of others, inside functions only


def room(*rooms: str, packages: str = "", late: str = "") -> Room:
    return Room((*BASE, *rooms), tuple(packages.split()), tuple(late.split()))


# From top to bottom, each may know only rooms that stand below it.
ROOMS = {
    "__main__": Room(("cli",)),
    "__init__": Room(("methods",)),  # other public names are strings, imported when they are asked for
    "cli": room("views", "checks", "pipeline", "methods", "sources", "settings", packages="click", late="tqdm"),
    "views": room("checks", "data", "settings", packages="numpy", late="PIL open3d"),
    "checks": room(
        "pipeline", "methods", "saliency", "sources", "models", "datasets", "algorithms", "data", "files", "settings",
        packages="numpy", late="torch scipy",
    ),
    "training": room("pipeline", "sources", "datasets", "data", "settings", packages="numpy torch"),
    "pipeline": room(
        "methods", "saliency", "sources", "models", "datasets", "algorithms", "data", "files", "settings",
        packages="numpy", late="torch",
    ),
    "methods": room("saliency", "algorithms", "data", packages="numpy", late="torch scipy"),
    "saliency": room("models", "algorithms", "data", packages="numpy torch"),
    "sources": room("datasets", "data", "files", packages="numpy h5py PIL", late="pyarrow scipy"),
    "models": room("data", packages="numpy torch", late="safetensors timm transformers"),
    "datasets": room("data", "files", "settings", packages="numpy h5py", late="PIL"),
    "algorithms": room(packages="numpy torch", late="scipy"),
    "data": room(packages="numpy", late="torch"),
    "files": room(packages="numpy h5py PIL"),
    "settings": Room(("option", "values", "errors", "text")),
    "option": Room(("values", "errors", "text")),
    "values": Room(("errors", "text")),
    "rng": Room(("errors",), ("numpy",), ("scipy",)),
    "jit": Room((), (), ("numba",)),
    "text": Room(()),
    "errors": Room(()),
}  # fmt: skip
TENSORS = ("tensors", "points_tensors", "images_tensors", "hidden_tensors")  # the engine's half of each kind of data
# Single modules that need more than their room, and why.
MORE = {
    "pipeline.engine": Room((), ("torch",)),  # it runs the networks; a plan, a job and a merge do without
    **{f"pipeline.kinds.{name}": Room((), ("torch",)) for name in TENSORS},
    "checks.scores.image_window": Room((), ("torch",)),  # tensors of a whole window; nothing else imports it early
    "checks.scores.points": Room((), ("scipy",)),
}
# Single modules that may know less than their room, and why.
LESS = {
    "pipeline.plan": Room(BASE, ("numpy",)),  # windows, pairs and rows are decided before there is a tensor or a file
    "pipeline.report": Room(BASE),
}
ABOVE = {name: list(ROOMS)[: list(ROOMS).index(name)] for name in ROOMS}
SAYS = ("print", "input", "exit", "quit", "sys.exit", "os._exit", "click.echo", "sys.stdout.write", "sys.stderr.write")
LAST = {name.rpartition(".")[2] for name in SAYS}


@dataclass(frozen=True)
class Import:
    """One name that a module imports: where, and whether only when a function runs or only for type checkers."""

    name: str
    line: int
    late: bool = False
    typing: bool = False


@dataclass
class Module:
    """A module's dotted name below mixcli ("__init__" for mixcli itself), and its text."""

    name: str
    text: str
    package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of the file; those by `import_module` count as far as their name is written out."""
        late = set(within(self.tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))
        typing = {inner for node in self._guards() for inner in map(id, ast.walk(node))}
        return [
            Import(name, node.lineno, id(node) in late, id(node) in typing)
            for node in ast.walk(self.tree)
            for name in self._names(node)
        ]

    def _guards(self) -> Iterator[ast.AST]:
        """What stands under `if TYPE_CHECKING`, not under its `else`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                yield from node.body

    def _names(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._base(node)
            yield from (".".join(filter(None, (base, alias.name))) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if isinstance(first, ast.Constant) and not str(first.value).startswith("."):
                yield str(first.value).rstrip(".")

    def _base(self, node: ast.ImportFrom) -> str:
        """The package or module that `from ... import` names, relative ones resolved."""
        if not node.level:
            return node.module or ""
        here = [] if self.name == "__init__" else self.name.split(".")
        package = ["mixcli", *(here if self.package else here[:-1])]
        return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def within(tree: ast.AST, kinds: tuple[type, ...]) -> Iterator[int]:
    """Of all nodes that stand inside of some kinds."""
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            yield from map(id, ast.walk(node))


def modules() -> dict[str, Module]:
    """Every module of the package by its name below mixcli."""
    made = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        made[name] = Module(name, path.read_text(), path.name == "__init__.py")
    return made


ALL = modules()


def faults(module: Module) -> list[str]:
    """What a module imports against its room's rule, in words."""
    rule = LESS.get(module.name, ROOMS[module.room])
    more = MORE.get(module.name, Room(()))
    found = []
    for each in module.imports:
        top, _, rest = each.name.partition(".")
        where = f"{module.name}:{each.line}"
        if top == "mixcli":
            to = rest.partition(".")[0]
            if to in ROOMS and to not in (module.room, *rule.rooms, *more.rooms):
                found.append(f"{where}: {module.room} must not know {to}" + " (for type checkers)" * each.typing)
        elif top not in sys.stdlib_module_names and not each.typing:
            if top in (*rule.packages, *more.packages):
                continue
            if top not in rule.late:
                found.append(f"{where}: {module.room} must not import {top}")
            elif not each.late:
                found.append(f"{where}: {module.room} imports {top} inside functions only")
    return found


def spoken(module: Module) -> list[str]:
    """Where a module prints or ends the process."""
    lines = [node.lineno for node in ast.walk(module.tree) if says(node)]
    return [f"{module.name}:{line}: only cli prints or exits" for line in lines]


def says(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return called(node) in LAST and ast.unparse(node.func) in SAYS
    return isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc).startswith("SystemExit")


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each reaches each other one (Tarjan's strongly connected components of 2 and more).

    >>> circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})
    [['b', 'c']]
    """
    index, low, stack, found = {}, {}, [], []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def edges_of(those: dict[str, Module]) -> dict[str, set[str]]:
    """Module -> modules that it imports, functions and TYPE_CHECKING included; packages' own files are no targets."""
    files = {name for name, module in those.items() if not module.package}
    edges = {}
    for name, module in those.items():
        named = {each.name.removeprefix("mixcli.") for each in module.imports}
        whole = {each for each in named if each in files}
        parents = {each.rpartition(".")[0] for each in named - whole}  # `from mixcli.rng import uniforms`
        edges[name] = (whole | parents & files) - {name}
    return edges


# The rules hold.


def test_every_module_has_exactly_one_rule():
    assert {module.room for module in ALL.values()} == set(ROOMS)
    assert set(MORE) | set(LESS) <= set(ALL)
    assert len(ALL) == len(list(PACKAGE.rglob("*.py")))


def test_rules_point_down():
    for name, rule in ROOMS.items():
        assert not set(rule.rooms) & {*ABOVE[name], name} - set(BASE), name
    for name in MORE:
        assert not set(MORE[name].rooms) & set(ABOVE[name.partition(".")[0]])


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_only_what_it_may(name):
    assert [fault for module in ALL.values() if module.room == name for fault in faults(module)] == []


@pytest.mark.parametrize("name", MORE)
def test_an_exception_is_needed(name):
    module = ALL[name]
    assert faults(module) == [] and faults(Module(f"{name}_", module.text)) != []


def test_only_the_command_line_prints_or_exits():
    assert [said for module in ALL.values() if module.room not in ("cli", "__main__") for said in spoken(module)] == []


def test_no_circle_of_imports():
    assert circles(edges_of(ALL)) == []


def test_few_files_lie_at_the_top_level():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_the_map_says_what_the_rules_say():
    told = {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        if found := re.fullmatch(r"\| `(\w+)` \| (.*) \| (.*) \|", line):
            names, packages = (set(re.findall(r"[\w\[\]]+", cell)) for cell in found.groups()[1:])
            told[found[1]] = (names, packages)
    expected = {
        name: (set(rule.rooms) - set(BASE), {*rule.packages, *(f"[{package}]" for package in rule.late)})
        for name, rule in ROOMS.items()
        if name not in (*BASE, "__init__", "__main__")
    }
    assert told == expected


# The rules bite: what must not be is planted, and seen.


def planted(name: str, line: str, where: str) -> list[str]:
    """Faults of a room's first module with one more import at its top, in a function, or for type checkers."""
    module = next(each for each in ALL.values() if each.room == name and each.name not in {**MORE, **LESS})
    text = {
        "top": f"{line}\n",
        "function": f"def planted():\n    {line}\n",
        "class": f"class Planted:\n    def method(self):\n        {line}\n",
        "typing": f"if TYPE_CHECKING:\n    {line}\n",
    }[where]
    before = faults(module)
    after = faults(Module(module.name, f"{module.text}\n{text}", module.package))
    return after[len(before) :]


@pytest.mark.parametrize("name", ROOMS)
@pytest.mark.parametrize("where", ["top", "function", "class"])
def test_a_planted_package_is_seen(name, where):
    rule = ROOMS[name]
    for package in {"click", "torch", "h5py", "open3d", "requests"} - {*rule.packages, *rule.late}:
        assert len(planted(name, f"import json, {package}", where)) == 1, package
        assert len(planted(name, f"from {package}.deep import anything", where)) == 1, package
    for package in rule.late:
        assert len(planted(name, f"import {package}", where)) == (where == "top"), package
    assert planted(name, "import click", "typing") == []  # a package that types alone need is no weight


@pytest.mark.parametrize("name", ROOMS)
@pytest.mark.parametrize("where", ["top", "function", "class", "typing"])
def test_a_planted_room_above_is_seen(name, where):
    for above in {*ABOVE[name], *(set(ROOMS) - set(ROOMS[name].rooms))} - {name, "__init__", "__main__"}:
        for line in (f"import mixcli.{above}.x", f"from mixcli.{above} import x", f"from mixcli import {above}"):
            assert len(planted(name, line, where)) == 1, line
    dynamic = "import_module('mixcli.cli.main')"
    assert len(planted(name, dynamic, where)) == (name not in ("cli", "__main__"))


def test_relative_imports_are_followed():
    inside = Module("files.obj", "from ..cli import main\nfrom . import geometry\nfrom .geometry import x\n")
    assert [each.name for each in inside.imports] == [
        "mixcli.cli.main", "mixcli.files.geometry", "mixcli.files.geometry.x",
    ]  # fmt: skip
    assert len(faults(inside)) == 1
    package = Module("models.images", "from ..layout import Shape\n", package=True)
    assert [each.name for each in package.imports] == ["mixcli.models.layout.Shape"]


def test_a_planted_word_is_seen():
    for line in ("print(1)", "import sys; sys.exit(2)", "raise SystemExit(1)", "click.echo('x')"):
        assert len(spoken(Module("files.obj", f"def f():\n    {line}\n"))) == 1


def test_a_planted_circle_is_seen():
    low = Module("files.low", "def f():\n    from mixcli.files.high import g\n")
    high = Module(
        "files.high", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mixcli.files import low\n"
    )
    both = {"files.low": low, "files.high": high}
    assert circles(edges_of(both)) == [["files.high", "files.low"]]
    found = circles(edges_of({**ALL, **both}))
    assert ["files.high", "files.low"] in found and len(found) == len(circles(edges_of(ALL))) + 1


# What is loaded when something is imported, which no rule about single files can tell.


def loaded(code: str) -> set[str]:
    """Modules that a new Python has after some code."""
    told = f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


HEAVY = {"torch", "h5py", "open3d", "numba", "scipy", "PIL", "pyarrow", "tqdm", "timm", "safetensors", "transformers"}


@pytest.mark.parametrize("arguments", ["['--help']", "['sagemix', '--help']", "['convert', '--help']", "['methods']"])
def test_help_imports_nothing_heavy(arguments):
    assert not HEAVY & loaded(f"import mixcli.cli.main as c; c.main({arguments}, standalone_mode=False)")


def test_the_package_imports_nothing_heavy():
    found = loaded("import mixcli; mixcli.METHODS")
    assert not (HEAVY | {"click"}) & found
    rest = loaded("import mixcli")
    assert not (HEAVY | {"numpy", "click"}) & rest and "mixcli.methods" not in rest


@pytest.mark.parametrize("out", ["mixed.h5", "mixed.npz", "mixed"])
def test_reading_a_dataset_drags_in_no_writer_and_no_job(out, tmp_path):
    clouds = ROOT / "sample_data" / "clouds" / "train_files.txt"
    mixcli.mix("mixup", str(clouds), str(tmp_path / out), points=16)
    code = "from pathlib import Path; from mixcli.datasets.dataset import Dataset\n"
    found = loaded(f"{code}Dataset(Path({str(tmp_path / out)!r})).require().read(0, 2)")
    assert not [name for name in found if name.startswith("mixcli.") and ("sink" in name or ".pipeline" in name)]
    assert "torch" not in found


WITHOUT_TORCH = [
    name
    for name, module in ALL.items()
    if module.room in ("cli", "views", "methods", "sources", "datasets", "files", "settings", *BASE)
    or name
    in ("checks.verify", "checks.inspect", "checks.selection", "pipeline.merge", "pipeline.plan", "pipeline.job")
]


def test_only_rooms_with_tensors_load_torch():
    names = ", ".join(f"mixcli.{name}" for name in WITHOUT_TORCH)
    assert not {"torch", "open3d"} & loaded(f"import {names}")


def test_looking_at_a_dataset_needs_no_torch(tmp_path):
    """Checking, counting and drawing need no network, so they run where none is installed."""
    made, sheet = str(tmp_path / "mixed.h5"), str(tmp_path / "sheet.png")
    mixcli.mix("mixup", str(ROOT / "sample_data" / "clouds" / "train_files.txt"), made, points=32)
    commands = [["inspect", made], ["verify", made], ["view", made], ["view", made, "-o", sheet]]
    code = "import mixcli.cli.main as c, sys; sys.modules['torch'] = None\n"
    loaded(code + "\n".join(f"c.main({command!r}, standalone_mode=False)" for command in commands))
    assert Path(sheet).exists()
