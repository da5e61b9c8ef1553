"""Networks of the package transformers, where mixcli does not build them itself: put together by a config.json.

Nothing is downloaded, and no code of a folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import Tensor

from mixcli.errors import CheckpointError
from mixcli.models.pickles import wording
from mixcli.models.programs import Program

INSTALL = "pip install 'mixcli[transformers]'"


class Transformers(Program):
    """A classifier of normalised images (B, 3, H, W) f32 -> logits (B, classes)."""

    data = "images"
    net: Any  # whose members are those of transformers

    def _call(self, x: Tensor) -> Tensor:
        return self.net(pixel_values=x).logits


def classifier(path: str, values: Mapping[str, Any], state: Mapping[str, Tensor], what: str) -> Transformers:
    """The network that a config.json at ``path`` describes by its ``values``, with these weights in it.

    ``what`` says why mixcli does not build it itself. CheckpointError where the package is missing, broken or has no
    such network, and where the weights are not all of its own.
    """
    package = _installed(path, what)
    with wording(path, "the package transformers does not build this network"):
        config = package.AutoConfig.for_model(**values)
        kind = package.AutoModelForImageClassification._model_mapping[type(config)]
        kind = kind[0] if isinstance(kind, tuple) else kind
        net, told = kind.from_pretrained(None, config=config, state_dict=dict(state), output_loading_info=True)
    apart = [key for part in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in told.get(part, ())]
    if apart:
        raise CheckpointError(f"the weights are not those of {kind.__name__} ({str(apart[0])[:80]})", at=path)
    made = Transformers(net.eval(), path)
    made.classes = config.num_labels
    return made


def _installed(path: str, what: str) -> ModuleType:
    if find_spec("transformers") is None:
        raise CheckpointError(f"{what} is a network that needs the package transformers", at=path, advice=INSTALL)
    with wording(path, "the package transformers is installed and cannot be imported"):
        import transformers

        for part in ("AutoConfig", "AutoModelForImageClassification"):
            getattr(transformers, part)  # they are imported when they are asked for
        transformers.utils.logging.disable_progress_bar()
    return transformers
