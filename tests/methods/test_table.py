"""The table of methods says what the registry says, and the help of every command ends with an example."""

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixcli.cli.main import main
from mixcli.errors import UsageError
from mixcli.methods import method, methods, option
from mixcli.methods import table as method_table
from mixcli.methods.table import published, render, render_options, table
from mixcli.pipeline.job import Job

ALL = {one["name"]: one for one in table()["methods"]}


def call(*arguments):
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_every_method_of_the_registry_once_and_in_its_order():
    assert table()["schema"] == "mixcli.methods/1"
    assert list(ALL) == list(methods())
    assert json.loads(json.dumps(table())) == table()


@pytest.mark.parametrize("name", ALL)
def test_every_method_tells_its_paper(name):
    paper = ALL[name]["paper"]
    assert paper["authors"] and 2000 < paper["year"] < 2100 and "(" not in ALL[name]["what"]


@pytest.mark.parametrize("name", ALL)
def test_many_mixes_of_a_pair_are_refused_where_the_table_says_so(name):
    def job():
        return Job(methods()[name](), ("in",), Path("out.h5"), ckpt="net.pt", k=2)

    if ALL[name]["draws"]:
        assert job().k == 2
    else:
        with pytest.raises(UsageError, match="draws nothing"):
            job()


@pytest.mark.parametrize("name", ALL)
def test_a_checkpoint_is_asked_for_where_the_table_says_so(name):
    def job():
        return Job(methods()[name](), ("in",), Path("out.h5"))

    if ALL[name]["checkpoint"]:
        with pytest.raises(UsageError, match="needs saliency: give the trained classifier"):
            job()
    else:
        assert job().ckpt is None


@pytest.mark.parametrize("name", ALL)
def test_options_are_those_of_the_command(name):
    told = [one["name"] for one in ALL[name]["options"]]
    assert told == [f.name for f in fields(methods()[name])]
    text = call(name, "--help")[1]
    assert all(one["flag"] in text and one["help"] for one in ALL[name]["options"])


def test_what_some_of_them_need():
    assert ALL["sagemix"]["data"] == ["points", "images"] and ALL["sagemix"]["assignment"]
    assert {"options": {"on": "images"}, "data": "images", "assignment": False} in ALL["sagemix"]["otherwise"]
    guided = {"options": {"center": "saliency"}, "saliency": "gradient", "checkpoint": True}
    assert ALL["pointcutmix"]["otherwise"] == [guided] and not ALL["pointcutmix"]["checkpoint"]
    assert {"options": {"alpha": 0.5}, "draws": True} in ALL["sage"]["otherwise"]
    assert (ALL["guidedmixup"]["pairing"], ALL["cutout"]["pairing"], ALL["cutout"]["parents"]) == ("greedy", "none", 1)
    assert ALL["pointcutmix"]["paper"] == {"authors": "Zhang et al.", "venue": None, "year": 2022}


@method(
    data="points", saliency=None, assignment=False, draws=0, draw_names=(), query=False, keeps=(), parents=3, group=4,
    example="mixcli own --in a.h5 --out b.h5",
)  # fmt: skip
@dataclass(frozen=True)
class Own:
    """Somebody's own.

    It has more to say.
    """

    share: float = option(0.25, "Must be below a half.")

    def needs(self):
        if self.share > 0.5:
            raise UsageError("--share: must be below a half")
        return {"assignment": self.share == 0.5}


def test_a_method_from_elsewhere(monkeypatch):
    monkeypatch.setattr(method_table, "methods", lambda: {"own": Own})
    found = table()
    (own,) = found["methods"]
    assert (own["what"], own["paper"], own["pairing"], own["group"]) == ("Somebody's own", None, "group", 4)
    assert own["otherwise"] == [{"options": {"share": 0.5}, "assignment": True}]
    assert render(found).splitlines()[1].split() == ["own", "points", "-", "-", "-", "3", "-", "group", "-"]
    assert render(found).endswith("with other options\n  own --share 0.5: assignment yes")
    assert render_options(found) == "own: Somebody's own\n  --share 0.25\n      Must be below a half."


def test_published():
    assert published("Mixed (A and B, 2017).")[1] == {"authors": "A and B", "venue": None, "year": 2017}
    assert published("Mixed (as in 2022, loosely).") == ("Mixed (as in 2022, loosely)", None)
    assert published("Mixed (A et al., ICML 2019); in .h5.")[0] == "Mixed; in .h5"


def test_the_table_as_text():
    code, out, err = call("methods")
    assert (code, err) == (0, "") and out.splitlines()[0].split()[:2] == ["method", "data"]
    assert len([line for line in out.splitlines() if line.split()[:1] in [[name] for name in ALL]]) >= len(ALL)
    assert "pointcutmix --center saliency: maps gradient, checkpoint yes" in out and "--theta" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_options_as_text():
    one, every = call("methods", "sagemix")[1], call("methods", "--options")[1]
    assert "--theta 0.2" in one and "--query sagemix|saliency|uniform|max  (default sagemix)" in one
    assert "cutmix" not in one and "no options of its own" not in one
    assert all(f"\n{name}: " in every for name in ALL)
    assert max(map(len, render_options(table(), 80).split("\n"))) <= 80


def test_json():
    assert json.loads(call("methods", "--json")[1]) == table()
    found = json.loads(call("methods", "sage", "cutmix", "--json")[1])
    assert [one["name"] for one in found["methods"]] == ["sage", "cutmix"]


def test_a_name_that_is_none():
    code, out, err = call("methods", "sagemx")
    assert (code, out) == (2, "") and "did you mean 'sagemix'?" in err


def test_nothing_heavy_is_imported():
    code = "import sys; from mixcli.cli.main import main; main(['methods', '--options'], standalone_mode=False); "
    code += "sys.exit([m for m in ('torch', 'open3d', 'numba') if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", main.list_commands(None))
def test_the_help_of_every_command_ends_with_an_example(name):
    code, out, _ = call(name, "--help")
    *_, options, example = out.partition("Options:")[2].partition("Example:\n")
    lines = [line.strip() for line in example.strip().splitlines()]
    assert code == 0 and "--help" not in example and options
    assert lines and all(line.startswith(f"mixcli {name}") for line in lines)
