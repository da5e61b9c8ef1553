"""Datasets of an earlier mixcli, for `tests/pipeline/test_old_datasets.py`: old.tar.gz beside this script.

Run it with the earlier source tree on the path, in an empty folder whose name may stand in manifests:

    mkdir /old && cd /old && PYTHONPATH=EARLIER_TREE:REPOSITORY/tests python REPOSITORY/tests/recorded/make_old.py

It holds a source of clouds (with normals and parts) and one of pictures, a checkpoint for each, a dataset in every
container, the shards of two runs, and runs that were interrupted after the first of three windows. Today's file was
made by commit c292bd6, the last before modules moved into rooms (its `mixcli` said 0.1.0).
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import torch
from picture_files import small_net
from PIL import Image

import mixcli
from mixcli.models.dgcnn import DGCNN

ARCHIVE = Path(__file__).with_name("old.tar.gz")
CLOUDS = {"points": 32, "window": 4, "normals": True, "workers": 1}
IMAGES = {"window": 4, "workers": 1}
SALIENCY = {**CLOUDS, "ckpt": "dgcnn.pt"}
PUZZLE = {**IMAGES, "ckpt": "resnet.pt", "normalize": "half"}
# Name -> method, source, arguments. Those of INTERRUPTED are made a second time, as far as their first window.
DATASETS = {
    "sagemix.h5": ("sagemix", "clouds.h5", {**SALIENCY, "k": 2, "keep": ("point_source", "saliency")}),
    "pointmixup.npz": ("pointmixup", "clouds.h5", {**CLOUDS, "k": 2, "partners": 2}),
    "rsmix": ("rsmix", "clouds.h5", {**CLOUDS, "include_originals": True}),
    "puzzlemix.h5": ("puzzlemix", "photos", {**PUZZLE, "keep": ("mask",)}),
    "cutmix.npz": ("cutmix", "photos", {**IMAGES, "k": 2, "include_originals": True}),
    "cutmix_png": ("cutmix", "photos", {**IMAGES, "keep": ("mask",)}),
    "cutmix_jpg": ("cutmix", "photos", {**IMAGES, "format": "jpg"}),
    "cutmix_webp": ("cutmix", "photos", {**IMAGES, "format": "webp", "quality": 80}),
    "cutmix_tars": ("cutmix", "photos", {**IMAGES, "format": "webdataset", "keep": ("mask",)}),
    "cutmix_tars_jpg": ("cutmix", "photos", {**IMAGES, "format": "webdataset-jpg"}),
    "hidden.npz": ("manifoldmixup", "photos", {**PUZZLE, "layer": "layer3"}),
    "shard0.h5": ("mixup", "clouds.h5", {**CLOUDS, "shard": (0, 2), "include_originals": True}),
    "shard1.h5": ("mixup", "clouds.h5", {**CLOUDS, "shard": (1, 2), "include_originals": True}),
    "shard0_tars": ("cutout", "photos", {**IMAGES, "shard": (0, 2), "format": "webdataset"}),
    "shard1_tars": ("cutout", "photos", {**IMAGES, "shard": (1, 2), "format": "webdataset"}),
}
INTERRUPTED = ("sagemix.h5", "pointmixup.npz", "rsmix", "cutmix_png", "cutmix_jpg", "cutmix_tars", "hidden.npz")


def sources() -> None:
    """12 clouds and 12 pictures in 3 classes (with parts, of ShapeNet's 16), and untrained networks for them."""
    rng = np.random.default_rng(0)
    with h5py.File("clouds.h5", "w") as file:
        cloud, normal = rng.uniform(-1, 1, (2, 12, 40, 3))
        file["data"] = cloud.astype(np.float32)
        file["normal"] = (normal / np.linalg.norm(normal, axis=2, keepdims=True)).astype(np.float32)
        file["label"] = (np.arange(12) % 3).astype(np.uint8)[:, None]
        file["pid"] = ((cloud > 0) @ np.array([1, 2, 4])).astype(np.uint8)
    for i in range(12):
        path = Path("photos") / ("cat", "dog", "owl")[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (3, 3, 3), np.uint8))
        coarse.resize((16, 16), Image.Resampling.BICUBIC).save(path)
    torch.manual_seed(0)
    torch.save(DGCNN(16, widths=(8, 8, 8, 8), emb=16, hidden=(16, 16)).state_dict(), "dgcnn.pt")
    torch.save({"state_dict": small_net().state_dict()}, "resnet.pt")


def interrupted(name: str) -> None:
    """The run of a dataset as Ctrl-C leaves it once the first window is in the journal: NAME.part and its journal."""
    from mixcli.output import Output  # where the earlier tree has it

    finish = Output.finish_window

    def stop(self: Output, record: dict) -> None:
        finish(self, record)
        raise KeyboardInterrupt

    Output.finish_window = stop
    try:
        made(name, f"part_{name}")
    except KeyboardInterrupt:
        pass
    finally:
        Output.finish_window = finish


def made(name: str, out: str) -> None:
    method, source, arguments = DATASETS[name]
    mixcli.mix(method, source, out, **arguments)


def stream() -> None:
    """What `--out -` sends, saved as one tar with its manifest beside it."""
    from mixcli.job import Job
    from mixcli.report import Report
    from mixcli.run import run

    from mixcli.methods import get

    Path("stream").mkdir()
    job = Job(get("cutmix")(), ("photos",), Path("-"), manifest=Path("stream/manifest.json"), k=2, **IMAGES)
    with open("stream/00000.tar", "wb", buffering=0) as file:
        run(job, Report(), file)


def main() -> None:
    if any(Path().iterdir()):
        sys.exit("an empty folder is needed: its name stands in the manifests")
    sources()
    for name in DATASETS:
        made(name, name)
    stream()
    for name in INTERRUPTED:
        interrupted(name)
    with tarfile.open(ARCHIVE, "w:gz") as archive:
        for path in sorted(Path().iterdir()):
            archive.add(path, filter=neutral)
    print(json.dumps({"made by": mixcli.__version__, "bytes": ARCHIVE.stat().st_size}))


def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the user and the time of whoever made it."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
