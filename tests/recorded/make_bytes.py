"""What every method gave at an earlier commit, for `tests/pipeline/test_bytes.py`: bytes.npz beside this script.

    PYTHONPATH=TREE:REPOSITORY/tests python REPOSITORY/tests/recorded/make_bytes.py [NAME]...

Without names all cases are made, which only an earlier TREE should do: today's file is that of commit c292bd6. With
names of new cases those are added, and the others stay as they are.

Methods that no network, solver of spectra or decoder has a part in are kept as SHA-256 of each field; the others as
arrays, since processors and versions of torch move their last bits.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from picture_files import small_net
from PIL import Image

import mixcli
from mixcli.models.pointnet import PointNet

FILE = Path(__file__).with_name("bytes.npz")
SAMPLE = Path(__file__).resolve().parent.parent.parent / "sample_data"
CLOUDS = {"points": 32, "window": 5, "workers": 1}
IMAGES = {"size": (16, 16), "window": 5, "workers": 1}
POINT_NET = {**CLOUDS, "ckpt": "pointnet.pt"}
IMAGE_NET = {**IMAGES, "ckpt": "resnet.pt", "normalize": "half"}
MASK = {"keep": ("mask",)}
# Name -> method, source, arguments; the first are kept as digests, the others as arrays.
EXACT = {
    "pointmixup": ("pointmixup", "clouds.h5", {**CLOUDS, "k": 2, "partners": 2, "include_originals": True}),
    "rsmix": ("rsmix", "clouds.h5", {**CLOUDS, "k": 2, "keep": ("point_source",)}),
    "pointcutmix": ("pointcutmix", "clouds.h5", {**CLOUDS, "k": 2, "subsample": "fps", "pairing": "different-class"}),
    "mixup": ("mixup", "clouds.h5", {**CLOUDS, "k": 2, "normalize": "unit-sphere"}),
    "mixup_images": ("mixup", "photos", {**IMAGES, "on": "images", "k": 2}),
    "cutmix": ("cutmix", "photos", {**IMAGES, **MASK, "k": 2, "include_originals": True}),
    "cutout": ("cutout", "photos", {**IMAGES, "k": 2}),
    "augmix": ("augmix", "photos", {**IMAGES, "k": 2, "all_ops": True}),
    "convert": ("convert", "clouds.h5", {**CLOUDS, "on": "points"}),
}
CLOSE = {
    "sagemix": ("sagemix", "clouds.h5", {**POINT_NET, "k": 2, "keep": ("saliency",)}),
    "sagemix_images": ("sagemix", "photos", {**IMAGE_NET, **MASK, "on": "images"}),
    "sage": ("sage", "photos", {**IMAGE_NET, **MASK}),
    "guidedmixup": ("guidedmixup", "photos", {**IMAGES, **MASK}),
    "saliencygrafting": ("saliencygrafting", "photos", {**IMAGE_NET, **MASK}),
    "saliencymix": ("saliencymix", "photos", {**IMAGES, **MASK}),
    "snapmix": ("snapmix", "photos", {**IMAGE_NET, **MASK}),
    "attentivecutmix": ("attentivecutmix", "photos", {**IMAGE_NET, **MASK}),
    "keepaugment": ("keepaugment", "photos", {**IMAGE_NET, "length": 6}),
    "puzzlemix": ("puzzlemix", "photos", {**IMAGE_NET, **MASK}),
    "comixup": ("comixup", "photos", {**IMAGE_NET, **MASK, "group": 5}),
    "manifoldmixup": ("manifoldmixup", "photos", {**IMAGE_NET, "layer": "layer3"}),
}


def sources(folder: Path) -> None:
    """The first 10 clouds of the sample data, 10 of its pictures in 3 classes, and networks that classify nothing.

    A DGCNN is none of them: which points are neighbours hangs on last bits, and moves its saliency by 1e-4.
    """
    with h5py.File(SAMPLE / "clouds" / "ply_data_train0.h5") as file, h5py.File(folder / "clouds.h5", "w") as made:
        made["data"], made["label"] = file["data"][:10, :48], file["label"][:10] % 4
    for i in range(10):
        kind = ("airplane", "car", "guitar")[i % 3]
        path = folder / "photos" / kind / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(SAMPLE / "images" / "train" / kind / path.name).save(path)
    rng = np.random.default_rng(0)
    for name, net in (("pointnet", PointNet(4, emb=16, hidden=16)), ("resnet", small_net())):
        weights = {}
        for key, value in net.state_dict().items():  # by numpy, since torch's generator may change
            spread = rng.uniform(0.5, 1.5, value.shape) if "running_var" in key else rng.normal(0, 0.3, value.shape)
            weights[key] = torch.zeros_like(value) if "num_batches" in key else torch.tensor(spread).to(value.dtype)
        torch.save(weights, folder / f"{name}.pt")


def made(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Every field of a case, made in a folder that holds `sources`."""
    method, source, arguments = (EXACT | CLOSE)[name]
    if "ckpt" in arguments:
        arguments = {**arguments, "ckpt": str(folder / arguments["ckpt"])}
    result = mixcli.mix(method, str(folder / source), str(folder / f"{name}.h5"), **arguments)
    with h5py.File(result.path) as file:
        return {field: file[field][()] for field in file}


def digest(array: np.ndarray) -> str:
    """Of an array's type, shape and bytes."""
    told = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(told + np.ascontiguousarray(array).tobytes()).hexdigest()


def main(names: list[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    sources(folder)
    digests: dict[str, dict[str, str]] = {}
    arrays: dict[str, np.ndarray] = {}
    if names:
        with np.load(FILE) as file:
            arrays = dict(file)
        digests = json.loads(str(arrays.pop("digests")))
    for name in names or [*EXACT, *CLOSE]:
        fields = made(name, folder)
        if name in EXACT:
            digests[name] = {field: digest(array) for field, array in fields.items()}
        else:
            arrays |= {f"{name}/{field}": array for field, array in fields.items()}
    np.savez_compressed(FILE, digests=np.array(json.dumps(digests)), **arrays)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes, by mixcli {mixcli.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
