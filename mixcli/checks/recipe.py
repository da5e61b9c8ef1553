"""Could a run have written this recipe? Its options, and those of its method, are held to their declarations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixcli.datasets.dataset import Dataset
from mixcli.datasets.schema import disallowed, told
from mixcli.errors import MixError, UsageError
from mixcli.methods import Method, get, restored
from mixcli.option import KINDS, options
from mixcli.pipeline.job import Job
from mixcli.sources.named_files import Listed


class Untrue(MixError):
    """No run can have recorded what the manifest says."""


def recalled(dataset: Dataset, files: Sequence[str | Listed], ckpt: str | None, trust: bool = False) -> Job:
    """The job that the manifest tells, of these files; Untrue where there is none like that."""
    recipe, checkpoint = dataset.recipe, dataset.manifest["checkpoint"]
    try:
        return Job.recalled(
            recipe,
            files,
            dataset.path,
            ckpt=ckpt,
            model=checkpoint and checkpoint["spec"],
            trust_ckpt=trust,
            on_error="skip",
            device="cpu" if recipe["device"] == "cpu" else "auto",
        )
    except UsageError as e:
        raise Untrue(_words(str(e)), at=dataset.path) from e


def recipe_faults(dataset: Dataset) -> Iterator[str]:
    """What no run of this version can have recorded, in words that name the key."""
    wrong = [*disallowed(dataset.recipe, _mixed(dataset)), *_of_method(dataset)]
    yield from map(_words, wrong)
    if not wrong and _method(dataset):
        yield from _together(dataset)


def recipe_notes(dataset: Dataset) -> list[str]:
    """What could not be looked at."""
    name = dataset.recipe["method"]
    return [] if _method(dataset) else [f"options of {name} were not checked: it is no method that is known here"]


def _words(what: str) -> str:
    return f"its manifest cannot be followed: {what}"


def _method(dataset: Dataset) -> type[Method] | None:
    """The method's class; None where that is of a package that is not here."""
    try:
        return get(dataset.recipe["method"])
    except UsageError:
        return None


def _mixed(dataset: Dataset) -> str:
    """The kind of data that was mixed: by the method, if that can be followed, else by the rows."""
    try:
        traits = restored(dataset.recipe).traits
    except MixError:
        return dataset.data
    return traits.writes or traits.data


def _of_method(dataset: Dataset) -> Iterator[str]:
    """Wrong options of the method, each by itself."""
    cls = _method(dataset)
    known = options(cls) if cls else {}
    for name, value in dataset.recipe["options"].items() if cls else ():
        one = known.get(name)
        if one is None:
            yield f"'recipe.options' has {told(name)}, which is no option of {dataset.recipe['method']} in this version"
            continue
        try:
            one.settle(value)
        except UsageError as e:
            yield f"'recipe.options.{name}' is {told(value)}: {e.reason}"


def _together(dataset: Dataset) -> Iterator[str]:
    """What is wrong with values that are each allowed."""
    checkpoint = dataset.manifest["checkpoint"]
    try:
        job = recalled(dataset, ["-"], checkpoint and checkpoint["path"])
    except MixError as e:
        yield e.reason
        return
    if job.data != dataset.data:
        mixes = f"{job.method.traits.name} with these options mixes {KINDS[job.data]}"
        yield _words(f"{mixes}, and these are {KINDS[dataset.data]}")
