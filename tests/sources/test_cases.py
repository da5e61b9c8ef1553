"""The right data in, or a word: what was once read wrongly without one, or refused though it can be read."""

import struct
import zipfile

import h5py
import numpy as np
import pytest
from conftest import write_h5
from PIL import Image

import mixcli
from mixcli.errors import MixError, UsageError
from mixcli.files.geometry import read_geometry
from mixcli.pipeline.conversion import convert
from mixcli.pipeline.report import Report
from mixcli.sources.any_source import open_any
from mixcli.sources.fingerprint import Watched
from mixcli.sources.images.decode import decode
from mixcli.sources.reading import Reading

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(80, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
FAR = np.array([448262.0, 5411932.0, 119.0])


class Said(list):
    """Notes of a run."""

    def __contains__(self, part):
        return any(part in note for note in self)


def converted(source, folder, **arguments):
    """The fields of a source that was converted, and what was said."""
    said = Said()
    convert(str(source), str(folder / "out.h5"), report=Report(note=said.append), overwrite=True, **arguments)
    with h5py.File(folder / "out.h5") as file:
        return {name: file[name][()] for name in file}, said


def mixed(method, source, folder, **arguments):
    said = Said()
    out = folder / "out.npz"
    mixcli.mix(method, str(source), str(out), report=Report(note=said.append), overwrite=True, **arguments)
    with np.load(out) as file:
        return {name: file[name] for name in file.files if name != "manifest"}, said


def unit_sphere(points):
    points = points - points.mean(0)
    return points / np.linalg.norm(points, axis=1).max()


# The kept cases


@pytest.fixture(scope="session")
def cases(shared):
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases in {shared}")
    return folder


def rows(cases, name, pattern, **reading):
    return [np.loadtxt(path, **reading) for path in sorted((cases / name).glob(pattern))]


def test_case_utm(cases, tmp_path):
    fields, _ = converted(cases / "utm_txt", tmp_path, normalize="unit-sphere")
    for found, points in zip(fields["data"], rows(cases, "utm_txt", "*/*.txt"), strict=True):
        assert np.abs(found - unit_sphere(points)).max() < 1e-3
    _, said = converted(cases / "utm_txt", tmp_path)
    assert "--normalize unit-sphere" in said


def test_case_id_first(cases, tmp_path):
    fields, said = converted(cases / "csv_id_first", tmp_path)
    there = rows(cases, "csv_id_first", "*/*.csv", delimiter=",", skiprows=1)
    assert np.array_equal(fields["data"], np.float32([table[:, 1:4] for table in there])) and "'id'" in said


@pytest.mark.parametrize("name", ["csv_header_rgb", "xyzrgb01", "pts_float_intensity", "black_first"])
def test_case_colours_are_no_normals(cases, tmp_path, name):
    fields, said = converted(cases / name, tmp_path)
    assert "normal" not in fields and "seg" not in fields and "left out" in said
    assert len(fields["data"]) == len(list((cases / name).glob("*/*")))


@pytest.mark.parametrize("file", ["train.h5", "x.npz"])
def test_case_channels_first(cases, tmp_path, file):
    fields, said = converted(cases / "h5_channels_first" / file, tmp_path)
    assert fields["data"].shape == (8, 256, 3) and "channels, points" in said


def test_case_wrapped(cases, tmp_path):
    fields, said = mixed("cutmix", cases / "wrapped", tmp_path)
    assert len(fields["data"]) == 6 and fields["soft_label"].shape[1] == 2 and "read 'train'" in said


def test_case_tiny_imagenet(cases, tmp_path):
    fields, _ = mixed("cutmix", cases / "tiny_imagenet" / "val", tmp_path)
    assert sorted(fields["parent_label"][:, 0]) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(UsageError, match="one class, 'images'"):
        open_any([str(cases / "tiny_imagenet" / "test")])


def test_case_dark(cases, tmp_path):
    _, said = mixed("cutmix", cases / "dark16", tmp_path)
    assert "from 0 to 4,095 of 65,535" in said and "--scale-16bit range" in said
    fields, _ = mixed("cutmix", cases / "dark16", tmp_path, scale_16bit="range")
    assert fields["data"].max() == 255 and fields["data"].min() == 0


def test_case_white_is_zero(cases):
    for path in sorted((cases / "miniswhite").glob("*/*.tif")):
        with Image.open(path) as image:
            stored = np.asarray(image).astype(int)
        assert np.array_equal(decode(path)[..., 0], ((65535 - stored) + 128) // 257)


def test_case_labels(cases, tmp_path):
    for name in ("labels_float64", "labels_onehot", "labels_one_based"):
        path = cases / name / "train.h5"
        with h5py.File(path) as file:
            label = file["label"][()]
        fields, said = converted(path, tmp_path)
        expected = label.argmax(1) if name == "labels_onehot" else label.reshape(-1)
        assert np.array_equal(fields["label"], expected)
        assert ("labels start at 1" in said) == (name == "labels_one_based") and "--class-names" in said


def test_case_normals_of_any_length(cases, tmp_path):
    fields, _ = mixed("pointmixup", cases / "nonunit", tmp_path, points=64, normals=True, include_originals=True)
    assert np.abs(np.linalg.norm(fields["normal"], axis=2) - 1).max() < 1e-5


def test_case_names_of_the_point_cloud_library(cases, tmp_path):
    fields, _ = converted(cases / "pcl_ply", tmp_path)
    assert np.abs(np.linalg.norm(fields["normal"], axis=2) - 1).max() < 1e-5


@pytest.mark.parametrize("name", ["off_cr", "quoted", "stl_solid_trailing", "ply_upper"])
def test_case_that_can_be_read(cases, tmp_path, name):
    assert len(converted(cases / name, tmp_path)[0]["data"]) == 6


def test_case_points_with_nan(cases, tmp_path):
    with pytest.raises(MixError, match="--drop-nan-points"):
        converted(cases / "pcd_nan", tmp_path)
    fields, said = converted(cases / "pcd_nan", tmp_path, drop_nan_points=True)
    assert len(fields["data"]) == 6 and np.isfinite(fields["data"]).all() and "points with NaN are left out" in said


def test_case_thumbnails(cases, tmp_path):
    assert len(mixed("cutmix", cases / "synology", tmp_path)[0]["data"]) == 6


def test_case_ends(cases, tmp_path):
    with pytest.raises(MixError, match="end mark in its middle"):
        mixed("cutmix", cases / "zeroed.tar", tmp_path)
    with pytest.raises(MixError, match="CRC"):
        mixed("rsmix", cases / "flip.npz", tmp_path, points=64)
    assert "left out 8 pictures that the list does not name" in mixed("cutmix", cases / "hub_cut_metadata", tmp_path)[1]


# Precision


def write_double(path, points):
    """Points in the format of a suffix, as doubles."""
    text = "".join("{:.9f} {:.9f} {:.9f}\n".format(*point) for point in points)
    if path.suffix == ".npy":
        np.save(path, points)
    elif path.suffix == ".off":
        path.write_text(f"OFF\n{len(points)} 0 0\n{text}")
    elif path.suffix == ".obj":
        path.write_text("".join(f"v {line}\n" for line in text.splitlines()))
    elif path.suffix == ".ply":
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
        head += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
        path.write_bytes(head.encode() + points.astype("<f8").tobytes())
    elif path.suffix == ".pcd":
        head = f"FIELDS x y z\nSIZE 8 8 8\nTYPE F F F\nCOUNT 1 1 1\nPOINTS {len(points)}\nDATA binary\n"
        path.write_bytes(head.encode() + points.astype("<f8").tobytes())
    else:
        path.write_text(text)


@pytest.mark.parametrize("suffix", [".txt", ".xyz", ".pts", ".csv", ".npy", ".off", ".obj", ".ply", ".pcd"])
def test_files_far_from_the_origin_keep_their_shape(tmp_path, suffix):
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_double(tmp_path / "in" / name / f"0{suffix}", POINTS + FAR)
    fields, _ = converted(tmp_path / "in", tmp_path, normalize="unit-sphere")
    assert np.abs(fields["data"] - unit_sphere(POINTS)).max() < 1e-5
    assert "float32 keeps too few digits" in converted(tmp_path / "in", tmp_path)[1]


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_arrays_far_from_the_origin_keep_their_shape(tmp_path, suffix):
    path, clouds = tmp_path / f"in{suffix}", np.stack([POINTS + FAR] * 4)
    write_h5(path, clouds, np.arange(4)) if suffix == ".h5" else np.savez(path, data=clouds, label=np.arange(4))
    for subsample in ("first", "random", "fps"):
        fields, _ = converted(path, tmp_path, normalize="unit-sphere", points=70, subsample=subsample)
        assert np.abs(np.linalg.norm(fields["data"], axis=2).max(1) - 1).max() < 1e-6
    assert np.abs(converted(path, tmp_path, normalize="unit-sphere")[0]["data"] - unit_sphere(POINTS)).max() < 1e-5


# Columns and axes


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("id,x,y,z", [np.arange(80)[:, None], POINTS]),
        (",x,y,z", [np.arange(80)[:, None], POINTS]),
        ('"x","y","z","r","g","b"', [POINTS, np.abs(NORMALS)]),
        ("Z;Y;X", [POINTS[:, ::-1]]),
        ("//X Y Z R G B", [POINTS, np.abs(NORMALS)]),
        ("# intensity x y z", [RNG.uniform(size=(80, 1)), POINTS]),
        ("X [m],Y [m],Z [m]", [POINTS]),
    ],
)
def test_a_header_is_obeyed(tmp_path, head, columns):
    between = next((mark for mark in ",;" if mark in head), " ")
    lines = [between.join(f"{v:.9f}" for v in row) for row in np.hstack(columns)]
    (tmp_path / "a.csv").write_text("\n".join([head, *lines]))
    found = read_geometry(tmp_path / "a.csv")
    assert np.abs(found.points - POINTS).max() < 1e-8 and found.normals is None and found.seg is None


def test_an_index_without_a_name_is_no_coordinate(tmp_path):
    for head in ("x y z\n", ""):
        lines = [f"{i} {x:.9f} {y:.9f} {z:.9f}" for i, (x, y, z) in enumerate(POINTS)]
        (tmp_path / "a.txt").write_text(head + "\n".join(lines))
        assert np.abs(read_geometry(tmp_path / "a.txt").points - POINTS).max() < 1e-8


def test_a_header_without_places_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,lon,lat,height\n" + "1,2,3,4\n" * 9)
    with pytest.raises(MixError, match="names no x, y and z"):
        read_geometry(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
@pytest.mark.parametrize(
    ("more", "normal", "seg"),
    [
        ([NORMALS], True, False),
        ([NORMALS, RNG.integers(0, 6, (80, 1))], True, True),
        ([NORMALS, RNG.uniform(size=(80, 1))], True, False),
        ([NORMALS, RNG.integers(0, 256, (80, 1))], True, False),
        ([NORMALS, RNG.integers(0, 256, (80, 3))], True, False),
        ([NORMALS * 3], False, False),
        ([RNG.uniform(size=(80, 3))], False, False),
        ([np.tile([[1.0, 0, 0]], (80, 1))], False, False),
        ([RNG.integers(0, 256, (80, 3))], False, False),
        ([RNG.integers(0, 256, (80, 1)), RNG.integers(0, 256, (80, 3))], False, False),
        ([RNG.integers(0, 6, (80, 1))], False, False),
    ],
)
def test_columns_without_names(tmp_path, suffix, more, normal, seg):
    table, path = np.hstack([POINTS, *more]), tmp_path / f"a{suffix}"
    np.save(path, table) if suffix == ".npy" else np.savetxt(path, table, "%.6f")
    for limit in (None, 20):
        found = read_geometry(path, limit)
        assert (found.normals is not None, found.seg is not None) == (normal, seg)
        assert bool(found.remarks) == (table.shape[1] > 3 + 3 * normal + seg)
    array = np.stack([table] * 3)
    np.savez(tmp_path / "a.npz", data=array, label=np.arange(3))
    write_h5(tmp_path / "a.h5", array, np.arange(3))
    for name in ("a.npz", "a.h5"):
        source = open_any([str(tmp_path / name)])
        assert (source.has_normals, source.has_seg) == (normal, seg)


@pytest.mark.parametrize("names", ["nx ny nz", "NX NY NZ", "normal_x normal_y normal_z", "Normal_X Normal_Y Normal_Z"])
@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".csv"])
def test_normals_by_any_of_their_names(tmp_path, names, suffix):
    fields, path = f"X Y Z {names}".split(), tmp_path / f"a{suffix}"
    if suffix == ".ply":
        head = ["ply", "format ascii 1.0", "element vertex 80", *(f"property float {f}" for f in fields), "end_header"]
    elif suffix == ".pcd":
        head = [f"FIELDS {' '.join(fields)}", "SIZE" + " 4" * 6, "TYPE" + " F" * 6, "POINTS 80", "DATA ascii"]
    else:
        head = [" ".join(fields)]
    lines = [" ".join(f"{v:.6f}" for v in row) for row in np.hstack([POINTS, NORMALS])]
    path.write_text("\n".join([*head, *lines]) + "\n")
    found = read_geometry(path)
    assert np.abs(found.normals - NORMALS).max() < 1e-5 and np.abs(found.points - POINTS).max() < 1e-5


def test_axes(tmp_path):
    array = np.float32(np.stack([POINTS] * 4))
    for suffix, save in ((".h5", write_h5), (".npz", lambda path, data, label: np.savez(path, data=data, label=label))):
        path = tmp_path / f"a{suffix}"
        save(path, array.transpose(0, 2, 1), np.arange(4))
        fields, said = converted(path, tmp_path)
        assert np.array_equal(fields["data"], array) and "channels, points" in said
        for name, odd in (("six", array[:, :6].repeat(2, 2)), ("three", array[:, :3])):
            path = tmp_path / f"{name}{suffix}"
            save(path, odd, np.arange(4))
            with pytest.raises(MixError, match="either axis may be that of the points"):
                converted(path, tmp_path, points=64, pad="repeat")
    np.save(tmp_path / "a.npy", POINTS.T)
    np.savetxt(tmp_path / "a.txt", POINTS.T)
    for name in ("a.npy", "a.txt"):
        assert np.abs(read_geometry(tmp_path / name).points - POINTS).max() < 1e-9


# Classes and splits


def picture(path, level=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 4), level if mode == "L" else (level,) * 3).save(path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["x/a/1.png", "x/b/1.png"], "give .*/x"),
        (["images/1.png", "images/2.png"], "a folder for each class"),
        (["seg_train/a/1.png", "seg_test/a/1.png"], "look like splits.*give .*/seg_train"),
    ],
)
def test_a_folder_that_was_not_meant(tmp_path, names, says):
    for name in names:
        picture(tmp_path / "set" / name)
    with pytest.raises(UsageError, match=says):
        open_any([str(tmp_path / "set")])


def test_splits_are_never_mixed(tmp_path):
    for i, name in enumerate(["a/train/1.png", "a/val/2.png", "b/train/3.png", "b/val/4.png"]):
        picture(tmp_path / "below" / name, i)
        split, label = name.split("/")[1], name.split("/")[0]
        picture(tmp_path / "above" / "x" / split / label / "1.png", i)
    for folder in ("below", "above"):
        for split in ("auto", "val"):
            source = open_any([str(tmp_path / folder)], Reading(split=split))
            assert source.labels.tolist() == [0, 1] and source.class_names == ("a", "b")
            assert all(("/val/" in source.address(i)[0]) == (split == "val") for i in range(2))


def test_clouds_below_splits(tmp_path):
    for split in ("train", "val"):
        for label in "ab":
            path = tmp_path / "in" / "set" / split / label / "1.txt"
            path.parent.mkdir(parents=True)
            np.savetxt(path, POINTS)
    for split in ("auto", "val"):
        source = open_any([str(tmp_path / "in")], Reading(split=split))
        assert source.labels.tolist() == [0, 1] and ("/val/" in source.address(0)[0]) == (split == "val")


def test_class_names_from_a_list(tmp_path):
    write_h5(tmp_path / "a.h5", np.float32([POINTS] * 3), np.arange(3))
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    source = open_any([str(tmp_path / "a.h5")], Reading(class_names=tmp_path / "names.txt"))
    assert source.class_names == ("ant", "bee", "cat") and not source.notes
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    with pytest.raises(UsageError, match="names 2 classes, and there is a label 2"):
        open_any([str(tmp_path / "a.h5")], Reading(class_names=tmp_path / "names.txt"))


# Pixels


def tiff(path, values, bits=16, photometric=1):
    """A grey TIFF, (H,W) of as many bits."""
    data = values.astype("<u2" if bits == 16 else np.uint8).tobytes()
    tags = [(256, 3, values.shape[1]), (257, 3, values.shape[0]), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 3, values.shape[0]), (279, 4, len(data))]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in tags)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd + bytes(4))


@pytest.mark.parametrize("bits", [8, 16])
def test_white_may_be_zero(tmp_path, bits):
    values = np.arange(16).reshape(4, 4) * ((1 << bits) // 16)
    tiff(tmp_path / "a.tif", values, bits, 0)
    tiff(tmp_path / "b.tif", (1 << bits) - 1 - values, bits, 1)
    assert np.array_equal(decode(tmp_path / "a.tif"), decode(tmp_path / "b.tif"))


# Ends, and files that change


def test_an_array_of_which_pieces_are_missing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (8, 16, 3), np.float32, chunks=(2, 16, 3))
        data[:4] = 1
        file["label"] = np.arange(8)
    with pytest.raises(MixError, match="'data' holds 2 of its 4 pieces"):
        open_any([str(tmp_path / "a.h5")])


def test_a_flipped_bit_in_a_stored_array(tmp_path):
    for name, values in (("clouds", np.float32([POINTS] * 4)), ("images", np.zeros((4, 8, 8, 3), np.uint8))):
        path = tmp_path / f"{name}.npz"
        np.savez(path, data=values, label=np.arange(4))
        with zipfile.ZipFile(path) as archive:
            offset = archive.getinfo("data.npy").header_offset + 400
        raw = bytearray(path.read_bytes())
        raw[offset] ^= 1
        path.write_bytes(raw)
        with pytest.raises(MixError, match="CRC"):
            converted(path, tmp_path)


def test_points_that_a_list_promises(tmp_path):
    (tmp_path / "a.pts").write_text("100\n" + "1 2 3\n" * 90)
    with pytest.raises(MixError, match="promises 100 points, but 90 follow"):
        read_geometry(tmp_path / "a.pts")


def test_a_file_that_changes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    watched = Watched([path])
    watched.check()
    path.write_bytes(b"three")
    with pytest.raises(MixError, match="was changed while it was read"):
        watched.check()
    path.unlink()
    with pytest.raises(MixError, match="was removed while it was read"):
        watched.check()


def test_a_run_whose_source_changes_has_no_final_name(tmp_path, monkeypatch):
    path = write_h5(tmp_path / "a.h5", np.float32([POINTS] * 4), np.arange(4))
    from mixcli.pipeline.run import Loop

    original = Loop.run
    monkeypatch.setattr(Loop, "run", lambda self: original(self) or path.touch() or None)
    with pytest.raises(MixError, match="was changed while it was read"):
        mixed("rsmix", path, tmp_path, points=64)
    assert not (tmp_path / "out.npz").exists()


# What can be read


@pytest.mark.parametrize("text", ["3.1+e2 1 2", "3.1e+2 1 2", "3.1D+2 1 2", '"310","1","2"', '"310,0";"1,0";"2,0"'])
def test_numbers_in_odd_forms(tmp_path, text):
    (tmp_path / "a.csv").write_text(f"{text}\n" * 5)
    assert read_geometry(tmp_path / "a.csv").points.tolist() == [[310, 1, 2]] * 5


def test_digits_of_svhn(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    pixels = RNG.integers(0, 256, (32, 32, 3, 6)).astype(np.uint8)
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.parent.mkdir()
    scipy_io.savemat(path, {"X": pixels, "y": np.uint8([[1], [2], [10], [10], [3], [9]])})
    for argument in (path, path.parent):
        source = open_any([str(argument)])
        assert source.labels.tolist() == [1, 2, 0, 0, 3, 9] and source.class_names[0] == "0"
        assert np.array_equal(np.stack(source.parts[0].read(np.arange(6))), pixels.transpose(3, 0, 1, 2))


def test_binary_batches_of_cifar(tmp_path):
    records = RNG.integers(0, 10, (6, 3073)).astype(np.uint8)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(records.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    source = open_any([str(tmp_path)])
    assert source.labels.tolist() == records[:, 0].tolist() and source.class_names == tuple("abcdefghij")
    expected = records[:, 1:].reshape(6, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(np.stack(source.parts[0].read(np.arange(6))), expected)
