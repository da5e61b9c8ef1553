"""Who may know what, held by reading the imports."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "mixcli"
# Modules below mixcli, by first match: what they must not import, anywhere in the file.
FORBIDDEN = {
    "formats/": ("torch", "click", "mixcli.methods", "mixcli.models", "mixcli.pipeline.engine", "mixcli.pipeline.run"),
    "methods/": ("click", "h5py", "mixcli.files", "mixcli.models", "mixcli.pipeline.run", "mixcli.pipeline.engine"),
    "models/": ("click", "h5py", "mixcli.files", "mixcli.methods", "mixcli.pipeline.run", "mixcli.pipeline.engine"),
    "plan.py": ("torch", "h5py", "click", "mixcli.files"),
    "rng.py": ("torch", "h5py", "click", "mixcli.files"),
    "saliency.py": ("h5py", "click", "mixcli.files", "mixcli.methods"),
    "assignment.py": ("torch", "h5py", "click", "mixcli.files", "mixcli.methods"),
    "verification.py": ("torch", "click"),
    "inspection.py": ("torch", "click", "mixcli.pipeline.engine", "mixcli.pipeline.run"),
    "run.py": ("click", "tqdm"),
    "engine.py": ("click", "tqdm", "h5py", "mixcli.files"),
}


def imports(path):
    """Dotted names that a file imports, wherever in it, relative ones resolved; not those for type checkers alone."""
    tree = ast.parse(path.read_text())
    typed = [n for n in ast.walk(tree) if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    skipped = {id(inner) for node in typed for inner in ast.walk(node)}
    package = ["mixcli", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("prefix", FORBIDDEN)
def test_layers(prefix):
    files = sorted(PACKAGE.glob(prefix + "*.py")) if prefix.endswith("/") else [PACKAGE / prefix]
    assert files
    for path in files:
        for name in imports(path):
            for wrong in FORBIDDEN[prefix]:
                if prefix == "methods/" and wrong == "mixcli.methods":
                    continue
                assert not (name + ".").startswith(wrong + "."), f"{path.name} imports {name}"


def test_method_files_import_torch_only_inside_functions():
    for path in sorted((PACKAGE / "methods").glob("*.py")):
        body = ast.parse(path.read_text()).body
        names = [a.name for n in body if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in body if isinstance(n, ast.ImportFrom)]
        assert not any(name.split(".")[0] == "torch" for name in names), path


def test_only_the_command_line_prints_or_exits():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in ("cli.py", "commands.py", "console.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "sys.exit", "exit", "click.echo"), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "code",
    [
        "import mixcli.cli.main as c; c.main(['--help'], standalone_mode=False)",
        "import mixcli.cli.main as c; c.main(['sagemix', '--help'], standalone_mode=False)",
        "import mixcli",
    ],
)
def test_help_imports_nothing_heavy(code):
    check = "import sys; assert not {'torch', 'h5py', 'open3d', 'numba', 'scipy', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_verify_and_inspect_import_no_torch():
    modules = "mixcli.checks.verify, mixcli.checks.inspect, mixcli.pipeline.merge"
    code = f"import {modules}, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
