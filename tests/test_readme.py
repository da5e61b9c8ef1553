"""Every command of the README and of `make demo` does what it says, in one folder, from top to bottom."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT

from mixcli.cli.main import main

README = (ROOT / "README.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", README, re.S)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: a ModelNet40-style file, its class names, a checkpoint."""
    path = tmp_path_factory.mktemp("user")
    clouds = ROOT / "sample_data" / "clouds"
    (path / "modelnet40.h5").symlink_to(clouds / "ply_data_train0.h5")
    shutil.copy(clouds / "shape_names.txt", path)
    (path / "dgcnn.pt").symlink_to(ROOT / "sample_data" / "dgcnn.pt")
    (path / "photos").symlink_to(ROOT / "sample_data" / "images")
    (path / "preact_resnet.pt").symlink_to(ROOT / "sample_data" / "preact_resnet.pt")
    return path


def run(command, folder):
    """What a command prints: in this process, which saves its start, or where shell is meant in a shell."""
    if not set(command) & set("|<>*$&"):
        here = Path.cwd()
        os.chdir(folder)
        try:
            done = CliRunner().invoke(main, shlex.split(command)[1:])
        finally:
            os.chdir(here)
        assert done.exit_code == 0, f"{command}\n{done.stderr}\n{done.exception!r}"
        return done.stdout
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_the_commands(folder):
    commands = [line for block in SHELL for line in block.splitlines()]
    assert len(commands) >= 10 and all(c.startswith("mixcli ") for c in commands)
    for command in commands:
        run(command, folder)
    assert (folder / "sheet.png").stat().st_size > 10_000
    assert (folder / "whole.h5").exists()
    out = run("mixcli inspect mixed.h5", folder)
    assert "640 mixed point clouds" in out and "airplane" in out


def test_the_python_code(folder):
    for code in PYTHON:
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.match(r"(320 [01]\.|640 clouds, loss \d)", done.stdout), done.stdout


def test_make_demo(folder):
    """The recipe's commands without its virtual environment, which only an installation can test."""
    recipe = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    commands = re.findall(r"^\t\.venv/demo/bin/(mixcli .*)$", recipe, re.M)
    assert len(commands) == 3
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    (folder / "demo_out").mkdir()
    for command in commands:
        run(command, folder)


def test_every_command_and_option_of_the_readme_exists():
    named = set(re.findall(r"`mixcli (\w+)", README)) | {c.split()[1] for block in SHELL for c in block.splitlines()}
    assert named <= set(main.list_commands(None))
    help_ = "".join(CliRunner().invoke(main, [command, "--help"]).stdout for command in named)
    for option in set(re.findall(r"[\s`](--[a-z][a-z-]+)", README)):
        assert option in help_, option
