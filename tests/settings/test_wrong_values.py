"""Every declared option, of a run, of each method and of each other function, with values that it does not take.

Python and the command line refuse them in the same sentence. An option that is declared tomorrow is among them.
"""

import inspect
from dataclasses import MISSING

import pytest
from click.testing import CliRunner
from wrong_values import ENDLESS, RANGE, TYPE, TYPO, right_value, wrong_values

import mixcli
from mixcli.checks.inspect import inspect as inspect_
from mixcli.checks.scores.score import score
from mixcli.cli.main import main
from mixcli.errors import UsageError
from mixcli.methods import get, methods
from mixcli.option import KINDS, options
from mixcli.pipeline.job import Job
from mixcli.pipeline.merge import merge
from mixcli.settings.commands import COMMANDS
from mixcli.settings.run import Settings

FILES = {"sources": "in.h5", "out": "out.h5"}
OF_A_KIND = {  # a method of each kind of data that is offered every option for it
    "points": ("mixup", {"on": "points"}), "images": ("mixup", {"on": "images"}), "hidden": ("manifoldmixup", {}),
}  # fmt: skip
FUNCTIONS = {
    "convert": [mixcli.convert], "merge": [merge], "inspect": [inspect_, score], "verify": [mixcli.verify],
    "view": [mixcli.view], "open_dataset": [mixcli.open_dataset],
}  # fmt: skip
REQUIRED = {"convert": ("source", "out"), "merge": ("paths", "out")}
NOT_OPTIONS = {"report", "command", "arguments"}


def python(function, *args, **kwargs):
    """What Python says."""
    with pytest.raises(UsageError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def typed(*arguments):
    """What the command line says."""
    done = CliRunner().invoke(main, list(arguments))
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    return done.stderr


def as_typed(one, text):
    """An option with a value, as it is typed; flags take none, so it is pressed on them."""
    return [f"{one.flag}={text}"] if one.flag.startswith("--") else [one.flag, text]


def mixed(method, given, files=FILES):
    return python(mixcli.mix, method, files["sources"], files["out"], **given)


def mixed_typed(method, own, one, text):
    files = {name: flag for name, flag in (("sources", "--in"), ("out", "--out")) if name != one.name}
    given = [f"{flag}={FILES[name]}" for name, flag in files.items()]
    return typed(method, *given, *(f"--{name}={value}" for name, value in own.items()), *as_typed(one, text))


def check(one, wrong, said, told):
    assert said.startswith(f"{one.flag} "), (one.name, wrong, said)
    assert "\n" not in said and len(said) < 400
    if told:
        assert told == f"mixcli: {said}\n", wrong


OF_A_RUN = [(name, kind) for name, one in options(Job).items() for kind in KINDS if one.is_for(kind)]
OF_METHODS = [(method, name) for method, cls in methods().items() for name in options(cls)]
OF_FUNCTIONS = [(command, name) for command, cls in COMMANDS.items() for name in options(cls)]


@pytest.mark.parametrize(("name", "kind"), OF_A_RUN)
def test_options_of_a_run(name, kind):
    one, (method, own) = options(Job)[name], OF_A_KIND[kind]
    for wrong in wrong_values(one, kind):
        files = {**FILES, **({name: wrong.value} if name in FILES else {})}
        said = mixed(method, {**own, **({} if name in FILES else {name: wrong.value})}, files)
        check(one, wrong, said, wrong.text is not None and mixed_typed(method, own, one, wrong.text))


@pytest.mark.parametrize(("method", "name"), OF_METHODS)
def test_options_of_methods(method, name):
    one = options(get(method))[name]
    for wrong in wrong_values(one):
        said = mixed(method, {name: wrong.value})
        check(one, wrong, said, wrong.text is not None and mixed_typed(method, {}, one, wrong.text))


@pytest.mark.parametrize(("command", "name"), OF_FUNCTIONS)
def test_options_of_functions(command, name):
    one, files = options(COMMANDS[command])[name], dict.fromkeys(REQUIRED.get(command, ("path",)), "none.h5")
    functions = [f for f in FUNCTIONS[command] if takes_argument(f, name)] or [COMMANDS[command]]
    for wrong in wrong_values(one):
        for function in functions:
            said = python(function, **{**files, name: wrong.value})
            check(one, wrong, said, one.flags and wrong.text is not None and command_typed(command, one, wrong.text))


def command_typed(command, one, text):
    arguments = ["none.h5", "none.npz"][: 2 if command == "convert" else 1]
    more = ["--out=none.h5"] if command == "merge" and one.name != "out" else []
    return typed(command, *arguments, *more, *as_typed(one, text))


def takes_argument(function, name):
    parameters = inspect.signature(function).parameters
    return name in parameters or "arguments" in parameters


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_argument_is_declared(command):
    """What a function takes and nobody declared would not be checked; nor may defaults differ."""
    declared = options(COMMANDS[command])
    for function in FUNCTIONS[command]:
        for name, parameter in inspect.signature(function).parameters.items():
            assert name in declared or name in NOT_OPTIONS, (function, name)
            if name in declared and parameter.default is not inspect.Parameter.empty:
                assert parameter.default == declared[name].default, (function, name)


def cases_of_other_kinds():
    """Options for one kind of data, given where another is mixed: by --on, or by a method that mixes no other."""
    subjects = {**OF_A_KIND, "points alone": ("rsmix", {}), "images alone": ("cutmix", {})}
    for name, one in options(Settings).items():
        for subject, (method, own) in subjects.items():
            kind = subject.partition(" ")[0]
            if one.kinds and not one.is_for(kind):
                yield pytest.param(name, kind, method, own, id=f"{name}-{subject}")


@pytest.mark.parametrize(("name", "kind", "method", "own"), list(cases_of_other_kinds()))
def test_options_of_another_kind_of_data(name, kind, method, own):
    one = options(Job)[name]
    value, text = right_value(one, one.kinds[0])
    told = mixed_typed(method, own, one, text) if text else None
    flag = [method, "--in=in.h5", "--out=out.h5", *(f"--{name}={value}" for name, value in own.items()), one.flag]
    said = mixed(method, {**own, name: value})
    assert said.startswith(f"{one.flag}: is for {one.kinds[0]}, and {KINDS[kind]} are mixed; leave it out"), said
    assert (told or typed(*flag)) == f"mixcli: {said}\n"
    if name != "manifest" and one.default is not None:  # even the default, where it is given
        assert mixed(method, {**own, name: one.default}) == said


def cases_of_other_values():
    for name, one in options(Settings).items():
        for kind in one.ways:
            for other in sorted(one.ways.keys() - {kind}):
                for choice in sorted(set(one.of(other).choices) - set(one.of(kind).choices)):
                    if one.of(kind).choices:
                        yield pytest.param(name, kind, choice, id=f"{name}-{choice}-{kind}")


@pytest.mark.parametrize(("name", "kind", "choice"), list(cases_of_other_values()))
def test_values_of_another_kind_of_data(name, kind, choice):
    one, (method, own) = options(Job)[name], OF_A_KIND[kind]
    said = mixed(method, {**own, name: [choice] if name == "keep" else choice})
    assert said.startswith(f"{one.flag} {choice}: for {KINDS[kind]} must be one of "), said
    assert mixed_typed(method, own, one, choice) == f"mixcli: {said}\n"


def test_all_kinds_of_wrong_values_are_among_them():
    """The walk walks: there is no option of which nothing is tried, and each kind of wrong value is."""
    hows = set()
    for cls in [Job, *methods().values(), *COMMANDS.values()]:
        for name, one in options(cls).items():
            found = wrong_values(one, (one.kinds or (None,))[0])
            assert {wrong.how for wrong in found} & {TYPO, TYPE}, (cls, name)
            hows |= {wrong.how for wrong in found}
    assert hows == {TYPO, TYPE, RANGE, ENDLESS}


@pytest.mark.parametrize("cls", [Job, *methods().values(), *COMMANDS.values()])
def test_defaults_are_right(cls):
    for one in options(cls).values():
        for kind in one.kinds or ("",):
            assert one.default is MISSING or one.settle(one.default, kind) == one.default


def test_a_near_choice_is_named():
    said = mixed("mixup", {"pairing": "samecalss"})
    assert said == "--pairing samecalss: must be one of random, different-class, same-class; did you mean same-class?"


@pytest.mark.parametrize(
    ("function", "given", "says"),
    [
        (mixcli.mix, {"method": "mixup", "pairng": "random"}, "mixup has no option 'pairng'; did you mean 'pairing'?"),
        (mixcli.convert, {"qualty": 3}, "convert has no option 'qualty'; did you mean 'quality'?"),
    ],
)
def test_names_that_are_no_options(function, given, says):
    assert python(function, source="in.h5", out="out.h5", **given) == says
