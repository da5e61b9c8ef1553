"""What mixcli writes loads elsewhere: in Hugging Face's datasets and in webdataset, each in an environment of its own.

The environment is made here and borrows the packages that these tests run with. Where the package registry cannot be
reached, the tests are skipped and say so. What others load is handed back as arrays and held against mixcli's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import numpy as np
import pytest
from PIL import Image

import mixcli
from mixcli.datasets.dataset import Dataset

PACKAGES = ("datasets", "webdataset")


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """A Python that has datasets and webdataset."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "env")
    python = str(home / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    with open(os.path.join(packages, "borrowed.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--retries", "1"]
    done = subprocess.run([*pip, "install", "--quiet", "--no-compile", *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        pytest.skip(f"no {' and no '.join(PACKAGES)} can be installed from here: {told}")
    yield python
    shutil.rmtree(home)  # 200 MB


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The same mixes of small images in each container."""
    home = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    for i in range(18):
        path = home / "train" / ("cat", "dog", "owl")[i % 3] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(path)
    for name, more in (("png", {}), ("tars", {"format": "webdataset"}), ("mixed.h5", {})):
        mixcli.mix("cutmix", str(home / "train"), str(home / name), keep=("mask",), window=6, k=2, **more)
    return home


def rows_of(path):
    dataset = Dataset(path).require()
    return dataset.read(0, dataset.rows)


def load(elsewhere, script, *arguments):
    """What a script gives to `keep(name=values, ...)`, run where mixcli is unknown and no network is needed."""
    out = os.path.join(os.path.dirname(elsewhere), "found.npz")
    keep = f"import sys, numpy\ndef keep(**found): numpy.savez({out!r}, **found)\n"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": os.path.join(os.path.dirname(elsewhere), "home")}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | offline
    command = [elsewhere, "-c", keep + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return np.load(out)


def require_same(found, rows):
    assert (found["data"] == rows["data"]).all() and (found["label"] == rows["label"]).all()
    assert np.allclose(found["soft_label"], rows["soft_label"], rtol=0, atol=1e-6)


IMAGEFOLDER = """
import datasets
rows = datasets.load_dataset("imagefolder", data_dir=sys.argv[1])["train"]
keep(data=[numpy.asarray(image) for image in rows["image"]], mask=[numpy.asarray(image) for image in rows["mask"]],
     label=rows["label"][:], soft_label=rows["soft_label"][:])
"""


def test_hugging_face_loads_a_folder_of_images(elsewhere, mixed):
    found, rows = load(elsewhere, IMAGEFOLDER, mixed / "png"), rows_of(mixed / "png")
    require_same(found, rows)
    assert found["data"].shape == (36, 12, 16, 3) and (found["mask"] == rows["mask"]).all()


WEBDATASET = """
import glob, webdataset
rows = webdataset.WebDataset(sorted(glob.glob(sys.argv[1] + "/*.tar")), shardshuffle=False).decode("rgb8")
data, entries = zip(*rows.to_tuple("png", "json"))
keep(data=data, **{name: [entry[name] for entry in entries] for name in ("label", "soft_label")})
"""


def test_webdataset_loads_tars(elsewhere, mixed):
    require_same(load(elsewhere, WEBDATASET, mixed / "tars"), rows_of(mixed / "png"))


TARS = """
import glob, datasets
rows = datasets.load_dataset("webdataset", data_files={"train": sorted(glob.glob(sys.argv[1] + "/*.tar"))})["train"]
keep(data=[numpy.asarray(image) for image in rows["png"]],
     **{name: [entry[name] for entry in rows["json"]] for name in ("label", "soft_label")})
"""


def test_hugging_face_loads_tars(elsewhere, mixed):
    require_same(load(elsewhere, TARS, mixed / "tars"), rows_of(mixed / "png"))


HDF5 = """
import datasets
rows = datasets.load_dataset("hdf5", data_files=sys.argv[1])["train"]
keep(data=numpy.array(rows["data"][:], numpy.uint8), label=rows["label"][:], soft_label=rows["soft_label"][:])
"""


def test_hugging_face_loads_hdf5(elsewhere, mixed):
    require_same(load(elsewhere, HDF5, mixed / "mixed.h5"), rows_of(mixed / "png"))


CLOUDS = """
import datasets
rows = datasets.load_dataset(sys.argv[1])["train"].cast_column("mesh", datasets.Mesh(decode=False))
keep(label=rows["label"][:], soft_label=rows["soft_label"][:], path=[mesh["path"] for mesh in rows["mesh"]])
"""


def test_hugging_face_finds_a_folder_of_clouds(elsewhere, tiny):
    made = tiny.mix("clouds", "pointmixup", ckpt=None)
    found, rows = load(elsewhere, CLOUDS, made.path), rows_of(made.path)
    assert (found["label"] == rows["label"]).all()
    assert np.allclose(found["soft_label"], rows["soft_label"], rtol=0, atol=1e-6)
    assert [os.path.basename(path) for path in found["path"]] == [f"{row:06d}.ply" for row in range(made.rows)]
