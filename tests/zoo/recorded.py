"""Recorded networks of published repositories: their state dicts made again, and what they gave for two inputs.

The folder of recordings brings the rule by which weights and inputs are drawn (`rebuild.py`).
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from mixcli.saliency import images


def rule(shared: Path) -> ModuleType:
    """The module that makes weights and inputs of a recording."""
    spec = importlib.util.spec_from_file_location("rebuild", shared / "golden/zoo/rebuild.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Recording:
    """A network, two inputs, and what the repository's own code gave."""

    spec: dict[str, Any]
    state: dict[str, torch.Tensor]  # under the names of the bare network
    x: torch.Tensor
    label: torch.Tensor
    logits: np.ndarray
    saliency: np.ndarray  # each map divided by its largest value

    @classmethod
    def read(cls, shared: Path, name: str) -> Recording:
        make = rule(shared)
        arrays, spec, recorded = make.state_dict(str(shared / "golden/zoo" / name))
        state = {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}
        x, label = torch.from_numpy(make.inputs(spec)), torch.tensor(spec["input"]["label"])
        return cls(spec, state, x, label, recorded["logits"], recorded["saliency"].astype(np.float32))

    def save(self, folder: Path) -> Path:
        """A file wrapped as the repository saves it; of Hugging Face a folder with a config.json."""
        if "config" in self.spec:
            (folder / "config.json").write_text(json.dumps(self.spec["config"]))
            torch.save(self.state, folder / "pytorch_model.bin")
            return folder
        torch.save(wrapped(self.state, self.spec["saved_as"]), folder / "net.pth")
        return folder / "net.pth"

    def differs(self, net: torch.nn.Module) -> tuple[float, float]:
        """How far a network's logits and saliency are off: of the largest logit, and the mean of a map's places."""
        made = images.gradient(net, self.x, self.label)
        off = np.abs(made.logits.numpy() - self.logits).max() / np.abs(self.logits).max()
        heat = made.map.numpy()
        heat = heat / heat.max((1, 2), keepdims=True)
        apart = np.abs(heat - self.saliency).sum((1, 2)) / self.saliency.sum((1, 2))
        return float(off), float(apart.max())


def wrapped(state: dict[str, torch.Tensor], how: Any) -> dict[str, Any]:
    """As ``saved_as`` says: a prefix before every key, a dict around all."""
    if not isinstance(how, dict):
        return state
    prefix, container = ((how.get(part) or "none").split(" ")[0] for part in ("prefix", "container"))
    named = {("" if prefix == "none" else prefix) + key: value for key, value in state.items()}
    return named if container in ("none", "either") or "." in container else {container: named, "epoch": 1}
