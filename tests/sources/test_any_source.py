"""What is wrong with a source, the reader that knows it says: through convert, view and mix, by what the file is."""

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mixcli.cli.main import main
from mixcli.errors import MixError, UsageError
from mixcli.sources.any_source import held, open_any

CLOUDS = np.random.default_rng(0).uniform(-1, 1, (6, 16, 3)).astype(np.float32)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
NUMBERS = np.arange(6) % 3
NOT_IMAGES = "nor as images; the README lists the layouts"


def h5(path, **arrays):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path.with_suffix(".h5")


def npz(path, **arrays):
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def refusals(path):
    """The last lines of stderr of the three commands, and their exit codes."""
    out = path.parent / "out.h5"
    commands = (
        ["convert", str(path), str(out)],
        ["view", str(path), "-o", str(out.with_suffix(".png"))],
        ["rsmix", "--in", str(path), "--out", str(out)],
    )
    done = [CliRunner().invoke(main, command) for command in commands]
    assert not any("Traceback" in one.stderr for one in done) and not out.exists()
    return [one.stderr.strip().splitlines()[-1] for one in done], [one.exit_code for one in done]


LABELS = {
    "too few": (np.arange(5), "'label' is (5,) int64; expected 6 integers, one a cloud"),
    "booleans": (NUMBERS > 0, "'label' is (6,) bool; expected 6 integers, one a cloud"),
    "byte strings": (np.array([b"a", b"b", b"c"])[NUMBERS], "'label' is (6,) |S1; expected 6 integers, one a cloud"),
}


@pytest.mark.parametrize("save", [h5, npz])
@pytest.mark.parametrize("labels", LABELS)
def test_clouds_with_labels_that_are_not_read(tmp_path, save, labels):
    values, says = LABELS[labels]
    path = save(tmp_path / "a", data=CLOUDS, label=values)
    told, codes = refusals(path)
    assert told == [f"mixcli: {path}: {says}"] * 3 and codes == [1] * 3
    assert held([str(path)]) == "points"


@pytest.mark.parametrize("save", [h5, npz])
@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"data": CLOUDS}, "no 'label'"),
        ({"data": (CLOUDS * 100).astype(np.int64), "label": NUMBERS}, "'data' is (6, 16, 3) int64"),
        ({"data": CLOUDS[0], "label": NUMBERS}, "'data' is (16, 3) float32; expected (clouds, points, 3"),
        ({"data": CLOUDS[:0], "label": NUMBERS[:0]}, "holds no cloud; leave it out"),
    ],
)
def test_clouds_that_are_not_as_they_should_be(tmp_path, save, arrays, says):
    path = save(tmp_path / "a", **arrays)
    told, codes = refusals(path)
    assert all(line.startswith(f"mixcli: {path}: {says}") for line in told) and codes == [1] * 3


@pytest.mark.parametrize(("save", "names"), [(h5, ("points", "labels")), (h5, ("x", "y")), (npz, ("pts", "cls"))])
def test_clouds_under_other_names(tmp_path, save, names):
    """They are neither reader's, so what both say is told; mixing asks for clouds, so that of clouds is."""
    path = save(tmp_path / "a", **dict(zip(names, (CLOUDS, NUMBERS), strict=True)))
    (converted, viewed, mixed), codes = refusals(path)
    assert converted == viewed and codes == [2, 2, 1]
    assert converted.startswith(f"mixcli: {path}: is read neither as clouds (no 'data' ")
    assert converted.endswith(NOT_IMAGES)
    assert all(repr(name) in line for name in names for line in (converted, mixed))
    assert held([str(path)]) is None


def files(folder, **content):
    for name, write in content.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return folder


def cloud(path):
    np.savetxt(path, CLOUDS[0])


def ply(path):
    rows = "\n".join(" ".join(map(str, point)) for point in CLOUDS[0])
    head = (
        "ply\nformat ascii 1.0\nelement vertex 16\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    path.write_text(f"{head}{rows}\n")


def picture(path):
    Image.fromarray(PIXELS[0]).save(path)


def words(path):
    path.write_text("a sentence about a picture\n")


FOLDERS = {
    "no class folders": ({"a_ply": ply, "b_ply": ply}, "has clouds but no class folders; put "),
    "a class without clouds": ({"a__1_ply": ply, "b__1_md": words}, "b: no cloud in this class folder"),
    "splits that are no folders of classes": ({"train__1_ply": ply, "test__1_ply": ply}, "its folders are splits"),
    "texts": ({"a__1_txt": cloud, "b__1_md": words}, "b: no cloud in this class folder"),
    "one cloud": ({"a_ply": ply}, "has clouds but no class folders; put a.ply into a folder"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_of_clouds(tmp_path, case):
    content, says = FOLDERS[case]
    folder = files(tmp_path / "set", **content)
    told, codes = refusals(folder)
    assert len(set(told)) == 1 and str(folder) in told[0] and says in told[0] and codes == [2] * 3
    assert held([str(folder)]) == "points"


@pytest.mark.parametrize(("name", "write"), [("a.ply", ply), ("a.xyz", cloud)])
def test_one_cloud(tmp_path, name, write):
    write(tmp_path / name)
    told, codes = refusals(tmp_path / name)
    assert len(set(told)) == 1 and "is one cloud without a label; give the folder" in told[0] and codes == [2] * 3


PICTURES = {
    "loose, beside a text": ({"a_png": picture, "notes_txt": words}, "has pictures but no class folders"),
    "with captions": ({"a__1_png": picture, "a__1_txt": words, "b__1_md": words}, "b: no picture in this class folder"),
    "a class without pictures": ({"a__1_png": picture, "b__1_md": words}, "b: no picture in this class folder"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_folders_of_pictures(tmp_path, case):
    """Texts of words among them are no clouds."""
    content, says = PICTURES[case]
    folder = files(tmp_path / "set", **content)
    with pytest.raises(UsageError, match=f"^{folder}.*{says}"):
        open_any([str(folder)])
    assert held([str(folder)]) == "images"


@pytest.mark.parametrize("save", [h5, npz])
def test_files_of_pictures(tmp_path, save):
    path = str(save(tmp_path / "a", images=PIXELS))
    with pytest.raises(MixError, match=r"^.*: no 'label' or 'labels' or 'y' beside 'images'; add the labels$"):
        open_any([path])
    path = str(save(tmp_path / "b", data=PIXELS.astype(np.float32), label=NUMBERS))
    with pytest.raises(MixError, match=r"'data' is \(6, 8, 8, 3\) float32; expected \(pictures, "):
        open_any([path])
    assert held([path]) == "images"
    good = save(tmp_path / "c", images=PIXELS, labels=NUMBERS)
    assert open_any([str(good)]).data == held([str(good)]) == "images"


def test_what_is_neither(tmp_path):
    (tmp_path / "readme.md").write_text("?")
    with pytest.raises(UsageError) as told:
        open_any([str(tmp_path / "readme.md")])
    assert str(told.value) == f"{tmp_path}/readme.md: is read neither as clouds {NOT_IMAGES}"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=f"neither as clouds .no .h5, .hdf5, .npz file and no class .*{NOT_IMAGES}"):
        open_any([str(tmp_path / "empty")])


def test_what_both_say_alike_is_said_once(tmp_path):
    whole = h5(tmp_path / "a", data=CLOUDS, label=NUMBERS).read_bytes()
    (tmp_path / "a.h5").write_bytes(whole[:900])
    with pytest.raises(MixError, match=r"^[^:]*a\.h5: not a readable HDF5 file \(it is cut short\); copy or download"):
        open_any([str(tmp_path / "a.h5")])
    for gone in ("gone.h5", "go*ne"):
        with pytest.raises(UsageError, match=r"^--in [^:]*: no "):
            open_any([str(tmp_path / gone)])
