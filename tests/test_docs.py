"""Every command and every piece of Python of the pages on datasets works, on small files of the published layout.

A page's commands run in one folder, from top to bottom, in this process: `VARIABLE=value` before a command and `&`
behind it are taken off, since what runs beside each other may as well run one after the other.
"""

import importlib.util
import io
import json
import re
import shlex
import tarfile

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ROOT
from PIL import Image
from test_cifar import batch, counted, listed, published

from mixcli.cli.main import main
from mixcli.models.dgcnn import DGCNN
from mixcli.models.dgcnn_partseg import DGCNNPartSeg
from mixcli.models.images.preact import LAYOUTS as PREACT
from mixcli.models.images.resnet import LAYOUTS as RESNET
from mixcli.models.pointnet import PointNet

RNG = np.random.default_rng(0)
DOCS, README = ROOT / "docs", (ROOT / "README.md").read_text()
PAGES = ("modelnet40", "scanobjectnn", "shapenetpart", "cifar", "imagenet")
PYARROW = importlib.util.find_spec("pyarrow") is not None  # Parquet is read with it, the tests do not ask for it
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.S)
CATEGORIES = ("Airplane", "Bag", "Cap", "Car", "Chair", "Earphone", "Guitar", "Knife", "Lamp", "Laptop", "Motorbike")
CATEGORIES += ("Mug", "Pistol", "Rocket", "Skateboard", "Table")
SYNSETS = ("n01440764", "n01443537", "n01484850")


def blocks(page):
    return BLOCK.findall((DOCS / f"{page}.md").read_text())


def words(line):
    """A line of shell as the arguments of mixcli; none for `wait`."""
    parts = shlex.split(line.removesuffix("&"))
    while parts and "=" in parts[0] and parts[0].partition("=")[0].isidentifier():
        del parts[0]
    assert parts == ["wait"] or parts[0] == "mixcli", line
    return parts[1:]


@pytest.mark.parametrize("page", PAGES)
def test_a_page(page, tmp_path, monkeypatch):
    LAYOUT[page](tmp_path)
    monkeypatch.chdir(tmp_path)
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(text, f"{page}.md", "exec"), {})
            continue
        for line in text.splitlines():
            arguments = words(line)
            if arguments and (PYARROW or "imagenet-1k/" not in arguments):
                done = CliRunner().invoke(main, arguments)
                assert done.exit_code == 0, f"{line}\n{done.stderr}\n{done.exception!r}"
    made = [path for path in tmp_path.iterdir() if path.suffix == ".h5" or (path / "manifest.json").is_file()]
    assert len(made) >= 3 and (tmp_path / "sheet.png").stat().st_size > 10_000
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_the_same_things_in_the_same_order(page):
    headings = re.findall(r"^## (.*)$", (DOCS / f"{page}.md").read_text(), re.M)
    assert headings == [
        "The files", "Mixing", "Several GPUs", "After an interruption", "Checking", "Training", "Cost",
    ]  # fmt: skip
    assert f"docs/{page}.md" in README
    python = [text for kind, text in blocks(page) if kind == "python"]
    assert len(python) == 1 and 10 <= sum(map(bool, python[0].splitlines())) <= 20
    commands = [line for kind, text in blocks(page) if kind == "sh" for line in text.splitlines()]
    for needed in ("--shard 0/2", "--resume", "mixcli inspect", "mixcli verify", "mixcli view"):
        assert any(needed in line for line in commands), needed


@pytest.mark.parametrize("page", PAGES)
def test_costs_are_those_that_the_readme_measured(page):
    cost = (DOCS / f"{page}.md").read_text().partition("## Cost")[2]
    told = re.findall(r"([\d.]+) (?:ms|s|GB)\b", cost)
    measured = README.partition("## How fast")[2]
    assert told and all(re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", measured) for number in told), told


# The files of each page, as published but small.


def clouds(path, count, classes, points=2048, label=np.uint8, **more):
    with h5py.File(path, "w") as file:
        file["data"] = RNG.uniform(-1, 1, (count, points, 3)).astype(np.float32)
        labels = (np.arange(count) % classes).astype(label)
        file["label"] = labels[:, None] if label is np.uint8 else labels
        for name, make in more.items():
            file[name] = make(count, labels)


def saved(path, net):
    """A checkpoint as most repositories of clouds write it."""
    torch.save({f"module.{name}": value for name, value in net.state_dict().items()}, path)


def modelnet40(folder):
    root = folder / "modelnet40_ply_hdf5_2048"
    root.mkdir()
    (root / "shape_names.txt").write_text("".join(f"shape_{i}\n" for i in range(40)))
    for split, files in (("train", 5), ("test", 2)):
        for i in range(files):
            clouds(root / f"ply_data_{split}{i}.h5", 2, 40, normal=lambda n, _: np.ones((n, 2048, 3), np.float32))
        lines = [f"data/modelnet40_ply_hdf5_2048/ply_data_{split}{i}.h5\n" for i in range(files)]
        (root / f"{split}_files.txt").write_text("".join(lines))
    torch.manual_seed(0)
    saved(folder / "dgcnn.pt", DGCNN(40, k=20, emb=16))
    saved(folder / "pointnet.pt", PointNet(40, emb=16))
    torch.save({"epoch": 1, "model_state_dict": PointNet(40, emb=16).state_dict()}, folder / "pointnet2.pth")
    resampled(folder / "modelnet40_normal_resampled")


def resampled(root):
    names = ["airplane", "night_stand", *(f"shape{i}" for i in range(38))]
    root.mkdir()
    (root / "modelnet40_shape_names.txt").write_text("\n".join(names) + "\n")
    idents = {"train": [f"{name}_{i:04}" for name in names[:4] for i in (1, 2)], "test": ["airplane_0627"]}
    for split, those in idents.items():
        (root / f"modelnet40_{split}.txt").write_text("\n".join(those) + "\n")
        for ident in those:
            place = root / ident.rpartition("_")[0] / f"{ident}.txt"
            place.parent.mkdir(exist_ok=True)
            np.savetxt(place, RNG.uniform(-1, 1, (1200, 6)), "%.6f", ",")


def scanobjectnn(folder):
    def mask(count, _):
        return np.where(RNG.random((count, 2048)) < 0.3, -1, 0).astype(np.float32)

    for name in ("main_split", "main_split_nobg"):
        for file in ("objectdataset", "objectdataset_augmentedrot_scale75")[: 2 if name == "main_split" else 1]:
            (folder / "h5_files" / name).mkdir(parents=True, exist_ok=True)
            for split in ("training", "test"):
                clouds(folder / "h5_files" / name / f"{split}_{file}.h5", 6, 15, label=np.int64, mask=mask)
    torch.manual_seed(0)
    saved(folder / "dgcnn.pt", DGCNN(15, k=20, emb=16))


def shapenetpart(folder):
    def pid(count, labels):
        return RNG.integers(0, 50, (count, 2048))

    root = folder / "hdf5_data"
    root.mkdir()
    for name in (*(f"train{i}" for i in range(6)), "val0", "test0", "test1"):
        clouds(root / f"ply_data_{name}.h5", 2, 16, pid=pid)
    torch.manual_seed(0)
    small = {"widths": (8,) * 5, "emb": 16, "category": 8, "head": (16, 16, 8), "transform": (8, 8, 16, 16, 8)}
    saved(folder / "partseg.t7", DGCNNPartSeg(50, **small))
    text = folder / "shapenetcore_partanno_segmentation_benchmark_v0_normal"
    synsets = [f"0{2691156 + i}" for i in range(len(CATEGORIES))]
    (text / "train_test_split").mkdir(parents=True)
    lines = [f"{name}\t{synset}\n" for name, synset in zip(CATEGORIES, synsets, strict=True)]
    (text / "synsetoffset2category.txt").write_text("".join(lines))
    for split, those in (("train", synsets[:6]), ("val", synsets[6:9]), ("test", synsets[9:])):
        entries = []
        for synset in those:
            (text / synset).mkdir()
            ident = f"1021a0914a7207aff927ed52{synset}"
            rows = np.concatenate([RNG.uniform(-1, 1, (int(RNG.integers(1500, 2600)), 6)), np.ones((1, 6))])
            rows[:, 3:] /= np.linalg.norm(rows[:, 3:], axis=1, keepdims=True)
            np.savetxt(text / synset / f"{ident}.txt", np.c_[rows, RNG.integers(0, 50, len(rows))], "%.6f")
            entries.append(f"shape_data/{synset}/{ident}")
        (text / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries))


def cifar(folder):
    ten, hundred = folder / "cifar-10-batches-py", folder / "cifar-100-python"
    ten.mkdir()
    hundred.mkdir()
    for i in range(1, 6):
        batch(ten / f"data_batch_{i}", 6)
    batch(ten / "test_batch", 4)
    names = listed([counted(b"class%d" % i) for i in range(10)])
    (ten / "batches.meta").write_bytes(published(label_names=names))
    fine, coarse = (listed([counted(b"%s%d" % (w, i)) for i in range(n)]) for w, n in ((b"fine", 100), (b"coarse", 20)))
    (hundred / "meta").write_bytes(published(fine_label_names=fine, coarse_label_names=coarse))
    for split, count in (("train", 12), ("test", 4)):
        batch(hundred / split, count, 100, "fine_labels")
    torch.manual_seed(0)
    for name, classes in (("preactresnet18", 10), ("preactresnet18_cifar100", 100)):
        net = network(PREACT[0], preact_shapes(classes), "shortcut.0.weight")
        torch.save({"epoch": 300, "state_dict": {f"module.{k}": v for k, v in net.items()}}, folder / f"{name}.pth")


def imagenet(folder):
    for split, count in (("train", 3), ("val", 2)):
        for synset in SYNSETS:
            place = folder / "imagenet" / split / synset
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{synset}_{i}.JPEG").write_bytes(jpeg(240 + 10 * i, 260))
    (folder / "imagenet-1k-wds").mkdir()
    for shard, of in (("train-0000", range(4)), ("train-0001", range(4, 7)), ("validation-00", range(7, 9))):
        with tarfile.open(folder / "imagenet-1k-wds" / f"imagenet1k-{shard}.tar", "w") as archive:
            for i in of:
                for suffix, data in (("cls", str(i % 3).encode()), ("jpg", jpeg(230, 250)), ("json", b'{"label": 0}')):
                    info = tarfile.TarInfo(f"{SYNSETS[i % 3]}_{i}.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    if PYARROW:
        parquet(folder / "imagenet-1k" / "data")
    torch.manual_seed(0)
    torch.save(network(RESNET[0], resnet_shapes(3), "downsample"), folder / "resnet50.pth")


def parquet(root):
    import pyarrow.parquet

    root.mkdir(parents=True)
    for name, count in (("train-00000-of-00002", 4), ("train-00001-of-00002", 4), ("validation-00000-of-00001", 2)):
        images = [{"bytes": jpeg(240, 230), "path": f"{i}.JPEG"} for i in range(count)]
        table = pyarrow.table({"image": images, "label": [i % 3 for i in range(count)]})
        features = {"label": {"names": list(SYNSETS), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        told = json.dumps({"info": {"features": features}})
        pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": told}), root / f"{name}.parquet")


def jpeg(height, width):
    file = io.BytesIO()
    coarse = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def resnet_shapes(classes):
    """torchvision's keys, one narrow block a stage."""
    shapes, last = {"conv1.weight": (4, 3, 7, 7), **norm("bn1", 4)}, 4
    for stage, wide in enumerate((4, 8, 8, 16), 1):
        block = f"layer{stage}.0."
        shapes |= {f"{block}conv1.weight": (wide, last, 3, 3), f"{block}conv2.weight": (wide, wide, 3, 3)}
        shapes |= norm(f"{block}bn1", wide) | norm(f"{block}bn2", wide)
        if stage > 1:
            shapes |= {f"{block}downsample.0.weight": (wide, last, 1, 1), **norm(f"{block}downsample.1", wide)}
        last = wide
    return {**shapes, "fc.weight": (classes, last), "fc.bias": (classes,)}


def preact_shapes(classes):
    """The keys of PuzzleMix's and kuangliu's PreAct-ResNets, one narrow block a stage."""
    shapes, last = {"conv1.weight": (4, 3, 3, 3)}, 4
    for stage, wide in enumerate((4, 8, 8, 16), 1):
        block = f"layer{stage}.0."
        shapes |= {f"{block}conv1.weight": (wide, last, 3, 3), f"{block}conv2.weight": (wide, wide, 3, 3)}
        shapes |= norm(f"{block}bn1", last) | norm(f"{block}bn2", wide)
        if stage > 1:
            shapes[f"{block}shortcut.0.weight"] = (wide, last, 1, 1)
        last = wide
    return {**shapes, "linear.weight": (classes, last), "linear.bias": (classes,)}


def norm(name, wide):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (wide,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def network(layout, shapes, part):
    """Fresh weights of the network of these shapes, which is the layout's."""
    assert layout.matches(shapes) and any(part in name for name in shapes)
    return layout.build(shapes, **layout.options).state_dict()


LAYOUT = {name: globals()[name] for name in PAGES}
