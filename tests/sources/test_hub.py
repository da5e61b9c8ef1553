"""Image folders with a list of labels: numbers, names and shares, in JSON and CSV."""

import json

import numpy as np
import pytest
from test_image_folders import picture

from mixcli.errors import MixError, UsageError
from mixcli.sources.images.hub import image_folder

NAMES = ["0.png", "sub/1.jpg", "2.png"]


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        picture(tmp_path / name)
    return tmp_path


def listed(root, labels, names=NAMES, key="label", **more):
    lines = [{"file_name": name, key: label, **more} for name, label in zip(names, labels, strict=True)]
    (root / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return image_folder(root)


def test_numbers(root):
    part = listed(root, [2, 0, -1], caption="a bird")
    assert part.labels.tolist() == [2, 0, -1] and part.class_names is None and part.shares is None
    assert part.names == NAMES and part.files == [root / "metadata.jsonl", *(root / name for name in NAMES)]
    assert part.address(1) == (str(root / "sub/1.jpg"), None)
    assert [a.shape for a in part.read(np.arange(3))] == [(5, 7, 3)] * 3


def test_names_are_numbered_as_they_sort(root):
    part = listed(root, ["owl", "Ara", "owl"])
    assert part.class_names == ("Ara", "owl") and part.labels.tolist() == [1, 0, 1]


def test_a_list_of_classes_orders_them(root):
    (root / "classes.txt").write_text("owl\nkea\nAra\n")
    part = listed(root, ["owl", "Ara", "owl"])
    assert part.class_names == ("owl", "kea", "Ara") and part.labels.tolist() == [0, 2, 0]
    assert root / "classes.txt" in part.files, "it decides the labels"
    with pytest.raises(MixError, match="label 'emu' is not in the list of classes"):
        listed(root, ["owl", "emu", "owl"])


def test_lists_are_soft_labels(root):
    part = listed(root, [[0.25, 0.75, 0], [1, 0, 0], [0.5, 0.5, 0.0]])
    assert part.shares is not None and part.labels.tolist() == [1, 0, 0]
    soft = part.shares.dense(np.array([2, 0, 2]))
    assert soft.dtype == np.float32 and soft.tolist() == [[0.5, 0.5, 0], [0.25, 0.75, 0], [0.5, 0.5, 0]]
    assert part.shares.dense(np.empty(0, np.int64)).shape == (0, 3)


def test_what_mixcli_writes_is_read(root):
    """`label` keeps what it says where shares are equal; shares of many classes are by class."""
    names = [{"file_name": n, "label": 7, "soft_label": {"3": 0.5, "7": 0.5}, "weight": [0.5, 0.5]} for n in NAMES]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, names)))
    part = image_folder(root)
    assert part.labels.tolist() == [7] * 3 and part.shares.dense(np.array([1])).tolist() == [
        [0, 0, 0, 0.5, 0, 0, 0, 0.5]
    ]


def test_csv(root):
    (root / "metadata.csv").write_text('file_name,label,text\n0.png,3,"a, b"\nsub/1.jpg,1,x\n2.png,3,y\n')
    part = image_folder(root)
    assert part.names == NAMES and part.labels.tolist() == [3, 1, 3]
    (root / "metadata.csv").write_text("file_name,label\n0.png,cat\n2.png,ant\n")
    part = image_folder(root)
    assert part.class_names == ("ant", "cat") and part.labels.tolist() == [1, 0] and len(part) == 2


@pytest.mark.parametrize(("split", "names"), [("auto", "t"), ("train", "t"), ("test", "v"), ("all", "tv")])
def test_splits_by_the_first_folder_of_the_names(tmp_path, split, names):
    files = {"t": "train/1.png", "v": "test/2.png"}
    for name in files.values():
        picture(tmp_path / name)
    (tmp_path / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f, "label": 0}) + "\n" for f in files.values())
    )
    part = image_folder(tmp_path, split)
    assert part.names == [files[n] for n in names] and bool(part.notes) == (split == "auto")


@pytest.mark.parametrize(("split", "names"), [("auto", ["train"]), ("test", ["test"]), ("all", ["train", "test"])])
def test_splits_with_a_list_each(tmp_path, split, names):
    for base in ("train", "test"):
        picture(tmp_path / base / "deep/1.png")
        (tmp_path / base / "metadata.csv").write_text("file_name,label\ndeep/1.png,4\n")
    part = image_folder(tmp_path, split)
    assert part.names == [f"{name}/deep/1.png" for name in names] and part.labels.tolist() == [4] * len(names)
    assert part.files[: len(names)] == [tmp_path / name / "metadata.csv" for name in names]


def test_a_list_without_splits_is_said(root):
    listed(root, [0, 1, 2])
    with pytest.raises(UsageError, match=r"--split test: .*metadata.jsonl does not tell train from test"):
        image_folder(root, "test")


def test_other_lists_are_no_picture_source(root):
    assert image_folder(root) is None
    (root / "metadata.jsonl").write_text('{"file_name": "00000/000000.ply", "label": 3}\n')
    assert image_folder(root) is None
    (root / "metadata.jsonl").write_text('{"path": "0.png"}\n')
    assert image_folder(root) is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"file_name": "../out.png", "label": 0}', "leads out of"),
        ('{"file_name": "/etc/x.png", "label": 0}', "leads out of"),
        ('{"file_name": "sub/../../out.png", "label": 0}', "leads out of"),
        ('{"file_name": "gone.png", "label": 0}', "gone.png is not there or is no regular file; copy it there"),
        ('{"file_name": "metadata.jsonl", "label": 0}', "names no picture"),
        ('{"file_name": "2.png"}', r"no 'label' beside file_name \(it has 'file_name'\)"),
        ('{"file_name": "2.png", "label": 1.5}', "label 1.5 is no whole number"),
        ('{"file_name": "2.png", "label": true}', "label True is no whole number"),
        ('{"file_name": "2.png", "label": null}', "label None is no whole number"),
        ('{"file_name": "2.png", "label": "cat"}', "label 'cat' is a name, those before it are a number"),
        ('{"file_name": "2.png", "label": 12345678901234567890123}', "is no class number"),
        ('{"file_name": "2.png", "label": [0.5, 0.4]}', "is a list of shares, those before it are a number"),
        ('{"file_name": "2.png", "label": 0, "soft_label": "x"}', "label 'x' is no whole number"),
        ("[1]", "is no JSON object"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_bad_lines_are_named(root, line, says):
    (root / "metadata.jsonl").write_text('{"file_name": "0.png", "label": 0}\n' + line)
    with pytest.raises(MixError, match=f"metadata.jsonl, line 2: .*{says}"):
        image_folder(root)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ([0.5, 0.4], "do not add up to 1"),
        ([1.5, -0.5], "do not add up to 1"),
        ([float("nan"), 1], "do not add up to 1"),
        ([], "do not add up to 1"),
        ([10**400, 1], "do not add up to 1"),
        (["a", "b"], "is not made of shares"),
        ({"a": 1.0}, "is not made of shares"),
        ({"-1": 1.0}, "is no class number"),
        ({"99999999999": 1.0}, "is no class number"),
    ],
)
def test_bad_shares_are_named(root, label, says):
    with pytest.raises(MixError, match=f"line 1.*{says}"):
        listed(root, [label] * 3)


def test_shares_are_all_of_as_many_classes(root):
    with pytest.raises(MixError, match="line 2: 3 shares, the labels before it have 2"):
        listed(root, [[0.5, 0.5], [1, 0, 0], [0.5, 0.5]])
    (root / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(MixError, match="labels of 2 shares, but 3 class names"):
        listed(root, [[0.5, 0.5]] * 3)


def test_links_out_are_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    picture(outside / "1.png")
    (root / "out.png").symlink_to(outside / "1.png")
    with pytest.raises(MixError, match=r"out.png: is a link that leads out of"):
        listed(root, [0], ["out.png"])
    (root / "dir").symlink_to(outside)
    with pytest.raises(MixError, match=r"dir: is a link that leads out of"):
        listed(root, [0], ["dir/1.png"])
    (root / "metadata.jsonl").unlink()
    (outside / "list").write_text("")
    (root / "metadata.jsonl").symlink_to(outside / "list")
    with pytest.raises(MixError, match=r"metadata.jsonl: is a link that leads out of"):
        image_folder(root)
