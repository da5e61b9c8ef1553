"""The base class of the methods."""

import dataclasses

import pytest
import torch

from mixcli.data.images import Images
from mixcli.methods import methods
from mixcli.methods.contract import Method, Needs, Traits, heat


def test_needs_are_traits():
    """Of the same types, too, so that what follows from options can stand in for what was declared."""
    declared = {field.name: field.type for field in dataclasses.fields(Traits)}
    assert {name: hint.__forward_arg__ for name, hint in Needs.__annotations__.items()}.items() <= declared.items()


@pytest.mark.parametrize("name", sorted(methods()))
def test_every_method_derives_from_the_base_and_says_what_it_mixes(name):
    cls = methods()[name]
    assert issubclass(cls, Method) and cls.mix is not Method.mix
    (base,) = cls.__orig_bases__
    assert base.__origin__ is Method and len(base.__args__) == 3


def test_saliency_that_is_missing_is_said():
    with pytest.raises(ValueError, match="came without"):
        heat(Images(torch.zeros(1, 2, 2, 3)))
