"""Fixtures shared by the tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from picture_files import Gallery

import mixcli
from mixcli.datasets.dataset import Dataset
from mixcli.models.dgcnn import DGCNN

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["tiers"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded outputs and real data that are not part of the project: MIXCLI_TEST_DATA, or `../shared`.

    Whoever names the folder means it to be there, so its absence is a failure then, and else a skip.
    """
    named = os.environ.get("MIXCLI_TEST_DATA")
    folder = Path(named or ROOT.parent / "shared")
    if not (folder / "golden").is_dir():
        told = f"no recorded outputs in {folder}"
        if named:
            pytest.fail(f"{told}, which MIXCLI_TEST_DATA names")
        pytest.skip(f"{told}; MIXCLI_TEST_DATA may name the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The clouds and the checkpoint that the project carries."""
    return ROOT / "sample_data"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """What a test starts hears Ctrl-C, also where the tests run in the background of a shell (`nohup make test &`).

    Such a shell has its jobs ignore SIGINT, and what ignores a signal hands that down to all that it starts.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def write_h5(path: Path, clouds: np.ndarray, labels: np.ndarray, **extra: np.ndarray) -> Path:
    """A file in ModelNet40's layout."""
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = clouds, labels
        for name, array in extra.items():
            file[name] = array
    return path


@dataclass(frozen=True)
class Tiny:
    """A source and a checkpoint that take no time: 30 clouds of 96 points in 4 classes, an untrained DGCNN."""

    folder: Path
    source: Path
    ckpt: Path

    def mix(self, out: str, method: str = "sagemix", **arguments) -> mixcli.pipeline.run.Result:
        settings = {"ckpt": str(self.ckpt), "points": 64, "window": 8, **arguments}
        return mixcli.mix(method, str(self.source), str(self.folder / out), **settings)

    def arguments(self, out: str, *more: str) -> list[str]:
        """The same as a command line."""
        files = ["--in", str(self.source), "--ckpt", str(self.ckpt), "--out", str(self.folder / out)]
        return ["sagemix", *files, "--points", "64", "--window", "8", *more]


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    rng = np.random.default_rng(0)
    clouds = rng.uniform(-1, 1, (30, 96, 3)).astype(np.float32)
    source = write_h5(tmp_path / "train0.h5", clouds, (np.arange(30) % 4).astype(np.uint8)[:, None])
    (tmp_path / "shape_names.txt").write_text("chair\nlamp\nmug\ntable\n")
    ckpt = tmp_path / "dgcnn.pt"
    torch.manual_seed(0)
    torch.save({f"module.{k}": v for k, v in DGCNN(4, k=20, emb=16).state_dict().items()}, ckpt)
    return Tiny(tmp_path, source, ckpt)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path)


def rows_of(path: Path) -> dict[str, bytes]:
    """Every field of a dataset as bytes, whatever its container."""
    with closing(Dataset(Path(path)).require()) as dataset:
        return {name: array.tobytes() for name, array in dataset.read(0, dataset.rows).items()}
