from conftest import ROOT

from mixcli.cli.options_page import page
from mixcli.methods import methods
from mixcli.option import options
from mixcli.pipeline.job import Job
from mixcli.settings.commands import COMMANDS


def test_the_page_is_what_the_declarations_say():
    assert (ROOT / "docs" / "options.md").read_text() == page(), "python -m mixcli.cli.options_page writes it anew"


def test_every_option_has_its_row():
    lines = page().splitlines()
    for cls in [Job, *methods().values(), *COMMANDS.values()]:
        for name, one in options(cls).items():
            assert any(f"`{name}`" in line and all(f"`{flag}`" in line for flag in one.flags) for line in lines), name
