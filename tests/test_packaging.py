"""What is published: versions, requirements, and a source distribution whose tests pass from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import mixcli

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({**LINUX, "python_version": "3.11"}, ["open3d-cpu"]),
        ({**LINUX, "python_version": "3.13"}, ["open3d-cpu"]),
        ({**LINUX, "python_version": "3.14"}, ["open3d-cpu"]),
        ({**LINUX, "python_version": "3.15"}, []),
        ({**LINUX, "platform_machine": "aarch64", "python_version": "3.12"}, ["open3d"]),
        ({**LINUX, "platform_machine": "ppc64le", "python_version": "3.12"}, []),
        ({"sys_platform": "darwin", "platform_machine": "arm64", "python_version": "3.13"}, ["open3d"]),
        ({"sys_platform": "darwin", "platform_machine": "x86_64", "python_version": "3.12"}, ["open3d"]),
        ({"sys_platform": "darwin", "platform_machine": "x86_64", "python_version": "3.13"}, []),
        ({"sys_platform": "win32", "platform_machine": "AMD64", "python_version": "3.13"}, ["open3d"]),
        ({"sys_platform": "win32", "platform_machine": "ARM64", "python_version": "3.13"}, []),
    ],
)
def test_open3d_is_asked_for_where_it_has_a_build(where, expected):
    wanted = [Requirement(text) for text in PROJECT["dependencies"] if text.startswith("open3d")]
    assert [each.name for each in wanted if each.marker.evaluate(where)] == expected


def test_versions_are_told_once_and_agree():
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    assert re.search(r"^## \[([\d.]+)\]", changes, re.M)[1] == re.match(r"[\d.]+\d", mixcli.__version__)[0]
    least = re.fullmatch(r">=(3\.\d+)", PROJECT["requires-python"])[1]
    assert f"Python {least} or later" in (ROOT / "README.md").read_text()
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named[0] == least
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert re.search(r"python: \[(.*)\]", workflow)[1] == ", ".join(f'"{version}"' for version in named)


def test_what_is_pinned_is_what_is_asked_for():
    asked = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
    for each in asked:
        if not each.name.startswith("open3d"):
            assert each.specifier.contains(PINNED[each.name]), each


@pytest.mark.slow
def test_the_source_distribution_holds_every_file_and_its_tests_pass(tmp_path):
    pytest.importorskip("setuptools", minversion="77", reason="no setuptools of today")
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository, so nobody says which files belong to the project")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [name for name in files if (ROOT / name).is_file()]
    tree = tmp_path / "tree"
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    build = "import setuptools.build_meta as b; b.build_sdist('../dist')"
    (tmp_path / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    assert archive.name == f"mixcli-{mixcli.__version__}.tar.gz"
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    assert [name for name in files if not (unpacked / name).is_file()] == []
    rooms = [
        "tests/test_rng.py",
        "tests/pipeline/test_bytes.py",
        "tests/cli/test_applicable.py",
        "tests/test_layers.py",
    ]
    environ = {key: value for key, value in os.environ.items() if key != "MIXCLI_TEST_DATA"}
    environ |= {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *rooms]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout
    assert "none failed" in done.stdout and "tests ran" in done.stdout
