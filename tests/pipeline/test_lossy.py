"""Pictures that lose a little: what is read is what was digested, damage is found, wrong mixes are told."""

import json
import os
import shutil
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mixcli
from mixcli.checks.inspect import inspect
from mixcli.cli.main import main
from mixcli.data.fields import Mixing, image_fields
from mixcli.datasets.codec import FILES
from mixcli.datasets.container import open_sink
from mixcli.datasets.dataset import Dataset
from mixcli.errors import MixError, UsageError
from mixcli.files import picture_files as encodings
from mixcli.files.picture_files import Jpg, Png, Webp, alike, decoded, encoded, encoding, through
from mixcli.methods import get
from mixcli.pipeline.job import Job
from mixcli.pipeline.merge import merge
from mixcli.pipeline.part_output import PartOutput

FORMS = ("jpg", "webp", "webdataset-jpg")
LOSSY = (Jpg(), Jpg(75), Jpg(20), Webp(), Webp(40))


def texture(seed, side=48):
    """A picture with edges and gradients, as photographs have them. (side,side,3) u8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(rng.uniform(4, 30) * (x * np.cos(a) + y * np.sin(a))) for a in rng.uniform(0, 6, 6)]
    found = np.stack([sum(w * rng.uniform(5, 30) for w in waves) for _ in range(3)], -1) + 128
    top, left = rng.integers(4, side // 2, 2)
    found[top : top + 12, left : left + 14] = rng.uniform(0, 255, 3)
    return found.clip(0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from((Png(), *LOSSY)), st.integers(0, 9))
def test_a_file_of_any_size_comes_back_as_any_reader_sees_it(size, how, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    data = encoded(picture, how)
    found = decoded(data, picture.shape, how, "x")
    with Image.open(BytesIO(data)) as image:
        assert image.mode == "RGB" and (np.asarray(image) == found).all()
    assert how.lossy or (found == picture).all()
    assert found.shape == picture.shape and (through(picture[None], how)[0] == found).all()


def test_better_quality_loses_less():
    picture = texture(0)
    for kind in (Jpg, Webp):
        lost = [np.abs(through(picture[None], kind(q))[0].astype(int) - picture).mean() for q in (10, 50, 90, 100)]
        assert lost == sorted(lost, reverse=True) and lost[2] < 4


def test_defaults_and_colour():
    assert (Jpg().quality, Webp().quality) == (95, 90)
    assert [Jpg(q).subsampling for q in (100, 90, 89, 1)] == ["4:4:4", "4:4:4", "4:2:0", "4:2:0"]
    assert Jpg(80).recorded == {"encoding": "jpg", "quality": 80, "subsampling": "4:2:0"} and Png(9).recorded == {}
    for how in (Jpg(95), Jpg(75)):
        with Image.open(BytesIO(encoded(texture(0), how))) as image:
            sides = {"4:4:4": 1, "4:2:0": 2}[how.subsampling]
            assert image.layer[0][1:3] == (sides, sides)


def test_settings_that_do_not_fit():
    for name, quality, level, says in (
        ("png", 90, None, "--quality 90: is for jpg and webp"),
        ("jpg", None, 3, r"--png-level 3: is for \.png, and \.jpg is written"),
        ("jpg", 0, None, "--quality 0: must be 1 to 100"),
        ("webp", 101, None, "--quality 101: must be 1 to 100"),
        ("png", None, 10, "--png-level 10: must be 0 to 9"),
    ):
        with pytest.raises(UsageError, match=says):
            encoding(name, quality, level)
    with pytest.raises(UsageError, match=r"a \.webp has at most 16,383 pixels a side, not 4x16384; take png"):
        open_sink(Path("mixed"), image_fields((4, 16384), Mixing(2)), 1, "folder", Webp())


def as_file(array, form, **options):
    file = BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def lying(data, at, value):
    return data[:at] + value + data[at + len(value) :]


GREY, WIDE = np.zeros((48, 48), np.uint8), np.zeros((48, 49, 3), np.uint8)
NO_PICTURES = [
    (Jpg(), b""), (Jpg(), as_file(GREY, "JPEG")), (Jpg(), as_file(WIDE, "JPEG")), (Jpg(), encoded(texture(0), Png())),
    (Jpg(), encoded(texture(0), Webp())), (Jpg(), encoded(texture(0), Jpg())[:900]),
    (Jpg(), b"\xff\xd8\xff\xe0"),
    (Webp(), b""), (Webp(), as_file(WIDE, "WEBP")), (Webp(), as_file(texture(0), "WEBP", lossless=True)),
    (Webp(), as_file(texture(0), "WEBP", xmp=b"<x/>")), (Webp(), encoded(texture(0), Webp())[:200]),
    (Webp(), lying(encoded(texture(0), Webp()), 26, b"\xff\x3f\xff\x3f")), (Webp(), encoded(texture(0), Jpg())),
    (Png(), encoded(texture(0), Jpg())),
]  # fmt: skip


@pytest.mark.parametrize(("how", "data"), NO_PICTURES)
def test_a_file_that_is_no_such_picture(how, data):
    with pytest.raises(MixError, match=rf"here: is (no RGB \{how.suffix} of 48 x 48 pixels|damaged)"):
        decoded(data, (48, 48, 3), how, "here")


@pytest.mark.parametrize("how", [Jpg(), Webp()])
def test_flipped_bytes_are_another_picture_or_one_sentence(how):
    rng, whole = np.random.default_rng(0), encoded(texture(0), how)
    before, told = decoded(whole, (48, 48, 3), how, "here"), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in rng.integers(0, len(whole), 300):
            try:
                found = decoded(lying(whole, at, bytes([whole[at] ^ 1 << rng.integers(8)])), (48, 48, 3), how, "here")
            except MixError as e:
                assert str(e).startswith("here: is ")
                told += 1
            else:
                assert found.shape == before.shape
    assert told > 3


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LOSSY), st.integers(0, 50), st.sampled_from([0.001, 0.05, 1.0]))
def test_a_picture_made_again_may_be_a_level_off(how, seed, share):
    rng, picture = np.random.default_rng(seed), texture(seed)
    off = rng.choice([-1, 0, 1], picture.shape, p=[share / 2, 1 - share, share / 2])
    again = (picture.astype(int) + off).clip(0, 255).astype(np.uint8)
    assert alike(through(picture[None], how), again[None], how)
    assert alike(picture[None], again[None], None)


@pytest.mark.parametrize("how", [Jpg(), Jpg(75), Webp()])
def test_another_picture_is_told(how):
    for seed in range(12):
        picture, other = texture(seed), texture(seed + 100)
        stored, patched, box = through(picture[None], how), picture.copy(), picture.copy()
        patched[20:28, 20:28] = 255 - patched[20:28, 20:28]
        box[:, 24:28] = other[:, 24:28]
        mixed, moved = picture // 2 + other // 2, np.roll(picture, 2, 1)
        for made in (other, patched, box, mixed, moved, picture[::-1], picture[..., ::-1]):
            assert not alike(stored, made[None], how)
    assert not alike(picture[None], np.clip(picture[None].astype(int) + 2, 0, 255).astype(np.uint8), None)


def test_tiles_that_are_cut_off_count_as_they_are():
    one, other = np.zeros((2, 20, 33, 3), np.uint8), np.zeros((2, 20, 33, 3), np.uint8)
    other[1, 19, 32, 2] = 8
    errors = encodings._errors(one, other)
    assert errors.shape == (2, 2, 3, 3) and errors[1, 1, 2, 2] == 8 / np.sqrt(4) and errors.sum() == 4


SIZE, ROWS = (20, 24), 7
FIELDS = image_fields(SIZE, Mixing(3, draws=1, query=True), ("mask",))


def values(rows=ROWS):
    found = {f.name: np.random.default_rng(0).integers(0, 256, (rows, *f.shape)).astype(f.dtype) for f in FIELDS}
    return found | {"data": np.stack([texture(row)[: SIZE[0], : SIZE[1]] for row in range(rows)])}


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("how", [Jpg(), Webp()])
def test_a_sink_says_what_it_kept(tmp_path, kind, how):
    sink, arrays = open_sink(tmp_path / "mixed", FIELDS, ROWS, kind, how), values()
    sink.create()
    kept = sink.write(0, 0, arrays)
    sink.finish(0)
    assert (kept["data"] == through(arrays["data"], how)).all() and not (kept["data"] == arrays["data"]).all()
    assert kept[FILES].tobytes() == b"".join(encoded(picture, how) for picture in arrays["data"])
    found = sink.read(0, 0, ROWS)
    assert set(found) == set(arrays)
    for name in found:
        assert found[name].tobytes() == kept[name].tobytes(), name
        assert name == "data" or found[name].tobytes() == arrays[name].tobytes(), name


def test_a_lossless_sink_keeps_what_it_was_given(tmp_path):
    sink, arrays = open_sink(tmp_path / "mixed", FIELDS, ROWS, "folder"), values()
    sink.create()
    kept = sink.write(0, 0, arrays)
    assert set(kept) == set(arrays) and all(kept[name] is arrays[name] for name in arrays)


@pytest.mark.parametrize("form", FORMS)
def test_a_lossy_dataset_is_like_any_other(gallery, form):
    made = gallery.mix("cutmix", "mixed", format=form, keep=("mask",), include_originals=True)
    assert mixcli.verify(made.path, replay=None) | {"path": ""} == {
        "schema": "mixcli.verify/1", "path": "", "rows": made.rows, "faults": [], "notes": [],
        "checks": mixcli.verify(made.path, replay=1)["checks"],
    }  # fmt: skip
    suffix = "." + form.removeprefix("webdataset-")
    if form in ("jpg", "webp"):
        entry = json.loads((made.path / "metadata.jsonl").read_text().splitlines()[3])
        assert entry["file_name"] == f"00000/000003{suffix}" and entry["mask_file_name"] == "00000/000003.mask.png"
        with Image.open(made.path / entry["file_name"]) as image:
            assert (np.asarray(image) == Dataset(made.path).read(3, 1)["data"][0]).all()
    recipe, versions = made.manifest["recipe"], made.manifest["versions"]
    assert recipe["encoding"] == suffix[1:] and recipe["quality"] == {".jpg": 95, ".webp": 90}[suffix]
    assert versions["pillow"] == Image.__version__ and {"libjpeg-turbo", "libjpeg", "libwebp"} & set(versions)
    lossless = rows_of(gallery.mix("cutmix", "lossless.h5", keep=("mask",), include_originals=True).path)
    rows = rows_of(made.path)
    assert [name for name in rows if rows[name] != lossless[name]] == ["data"], "masks and labels lose nothing"
    data = mixcli.open_dataset(made.path)
    assert data[3][0].numpy().tobytes() == Dataset(made.path).read(3, 1)["data"].tobytes()
    assert inspect(made.path)["container"] == f"folder of {'.tar' if form.startswith('webdataset') else suffix}"


def test_digests_do_not_depend_on_the_container(gallery):
    arguments = {"include_originals": True, "keep": ("mask",)}
    files = gallery.mix("sage", "files", format="jpg", **arguments)
    tars = gallery.mix("sage", "tars", format="webdataset-jpg", **arguments)
    assert files.manifest["windows"] == tars.manifest["windows"] and rows_of(files.path) == rows_of(tars.path)
    other = gallery.mix("sage", "other", format="jpg", quality=80, **arguments)
    ours, theirs = ({w["sha256"] for w in made.manifest["windows"]} for made in (files, other))
    assert not ours & theirs


def test_a_lossless_manifest_says_nothing_new(gallery):
    """So that those of older versions are read as they were."""
    made = gallery.mix("cutmix", "mixed", format="png", png_level=3)
    told = json.loads((made.path / "manifest.json").read_text())
    assert not {"encoding", "quality", "subsampling"} & set(told["recipe"]) and "pictures" not in told
    assert "libjpeg" not in " ".join(told["versions"]) and "files_sha256" not in told["windows"][0]


def faults(path, **more):
    return [fault["message"] for fault in mixcli.verify(path, **more)["faults"]]


@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_damage_is_found(gallery, form):
    made = gallery.mix("cutmix", "mixed", format=form)
    one, two = (made.path / f"00000/00000{i}.{form}" for i in (4, 5))
    whole = one.read_bytes()
    flipped = lying(whole, len(whole) - 40, bytes([whole[-40] ^ 16]))
    for data in (flipped, two.read_bytes(), encoded(np.asarray(Image.open(one)), encoding(form, 60)), whole[:-60]):
        one.write_bytes(data)
        assert len(faults(made.path)) == 1
    one.write_bytes(whole)
    assert faults(made.path, replay=None) == []


def off_by_a_level(monkeypatch):
    """As another version of a decoder may be."""
    exact = encodings.decoded

    def other(data, shape, how, address):
        found = exact(data, shape, how, address)
        if how.lossy:
            found = found.copy()
            found[::3, ::5] ^= 1
        return found

    monkeypatch.setattr(encodings, "decoded", other)
    monkeypatch.setattr("mixcli.datasets.picture_rows.decoded", other)


@pytest.mark.parametrize("form", FORMS)
def test_another_decoder_is_a_note_and_damage_still_a_fault(gallery, form, monkeypatch):
    made = gallery.mix("cutmix", "mixed", format=form, include_originals=True)
    off_by_a_level(monkeypatch)
    found = mixcli.verify(made.path, replay=None)
    assert found["faults"] == [] and len(found["notes"]) == 1
    assert "3 windows: files are as they were written (pillow" in found["notes"][0]
    path = made.path / ("00001.tar" if form.startswith("webdataset") else "metadata.jsonl")
    text = path.read_bytes()
    at = text.index(b'"draw": [0.') + 12
    path.write_bytes(lying(text, at, b"1" if text[at : at + 1] != b"1" else b"2"))
    assert len(faults(made.path)) == 1


def test_a_wrong_mix_is_told(gallery):
    made = gallery.mix("cutmix", "mixed", format="jpg", k=1)
    rows = Dataset(made.path).require().read(0, 3)["data"]
    path, told = made.path / "00000" / "000001.jpg", (made.path / "manifest.json").read_text()
    path.write_bytes(encoded(rows[2], Jpg()))
    assert any("made again, 'data' comes out otherwise" in fault for fault in faults(made.path, replay=None))
    path.write_bytes(encoded(rows[1], Jpg()))  # another generation is near the mix, and not what was written
    assert [f["check"] for f in mixcli.verify(made.path, replay=None)["faults"]] == ["digests"]
    manifest = json.loads(told)
    manifest["recipe"]["options"]["alpha"] = 0.2
    (made.path / "manifest.json").write_text(json.dumps(manifest))
    assert any("'data' comes out otherwise" in fault for fault in faults(made.path, replay=None))


class Stop(BaseException):
    """Stands for a Ctrl-C."""


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupted_run_goes_on_byte_for_byte(gallery, monkeypatch, form):
    arguments = {"format": form, "include_originals": True, "keep": ("mask",), "quality": 85}
    whole, finish = gallery.mix("sage", "whole", **arguments), PartOutput.finish_window

    def finish_one(self, record):
        finish(self, record)
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(PartOutput, "finish_window", finish_one)
        gallery.mix("sage", "mixed", **arguments)
    for other, says in (({"quality": 84}, "quality 84 is not 85"), ({"format": "png", "quality": None}, "None is not")):
        with pytest.raises(UsageError, match=f"--resume: the earlier run was another: .*{says}"):
            gallery.mix("sage", "mixed", **{**arguments, **other}, resume=True)
    result = gallery.mix("sage", "mixed", **arguments, resume=True)
    assert result.manifest["resumed_windows"] == 1 and result.manifest["windows"] == whole.manifest["windows"]
    for path in (p for p in whole.path.rglob("*.*") if p.name != "manifest.json"):
        assert path.read_bytes() == (result.path / path.relative_to(whole.path)).read_bytes(), path
    with pytest.raises(UsageError, match="is of another job: quality 84 is not 85"):
        gallery.mix("sage", "mixed", **{**arguments, "quality": 84}, resume=True)


def test_a_window_that_rotted_is_made_again(gallery, monkeypatch):
    finish = PartOutput.finish_window

    def finish_one(self, record):
        finish(self, record)
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(PartOutput, "finish_window", finish_one)
        gallery.mix("cutmix", "mixed", format="jpg")
    path = gallery.folder / "mixed.part" / "00000" / "000003.jpg"
    path.write_bytes((path.parent / "000004.jpg").read_bytes())
    result = gallery.mix("cutmix", "mixed", format="jpg", resume=True)
    assert result.manifest["resumed_windows"] == 0 and faults(result.path, replay=None) == []


@pytest.mark.parametrize("form", ["jpg", "webdataset-jpg"])
def test_copies_hold_the_decoded_pixels(gallery, form):
    made = gallery.mix("cutmix", "mixed", format=form, include_originals=True)
    for out in ("copy.h5", "copy.npz", "copy"):
        copy = mixcli.convert(str(made.path), str(gallery.folder / out)).path
        assert rows_of(copy) == rows_of(made.path) and faults(copy, replay=None) == []
    assert (gallery.folder / "copy" / "00000" / "000000.png").exists()
    again = mixcli.convert(str(gallery.folder / "copy"), str(gallery.folder / "again.h5")).path
    assert rows_of(again) == rows_of(made.path)


def test_shards_merge(gallery):
    whole = gallery.mix("cutmix", "whole", format="jpg")
    shards = [gallery.mix("cutmix", f"s{i}", format="jpg", shard=(i, 2)).path for i in (0, 1)]
    merge(shards, gallery.folder / "merged.h5")
    assert rows_of(gallery.folder / "merged.h5") == rows_of(whole.path)
    other = gallery.mix("cutmix", "other", format="jpg", shard=(1, 2), quality=90).path
    with pytest.raises(UsageError, match=r"no shard of the run .*: quality 95 is not 90"):
        merge([shards[0], other], gallery.folder / "no.h5")


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*") if p.name != "manifest.json"}


@pytest.mark.parametrize("form", [*FORMS, "webdataset", "png"])
def test_shards_in_a_folder_merge_into_the_files_of_one_run(gallery, form):
    level = {"png_level": 6} if form in ("png", "webdataset") else {"quality": 85}
    arguments = {"format": form, "include_originals": True, "keep": ("mask",), **level}
    whole = gallery.mix("sage", "whole", **arguments)
    shards = [gallery.mix("sage", f"s{i}", shard=(i, 2), **arguments).path for i in (0, 1)]
    merge(shards, gallery.folder / "merged")
    assert files_of(gallery.folder / "merged") == files_of(whole.path)
    told = [json.loads((p / "manifest.json").read_text()) for p in (gallery.folder / "merged", whole.path)]
    assert told[0]["windows"] == told[1]["windows"] and told[0]["recipe"] == told[1]["recipe"]
    assert faults(gallery.folder / "merged", replay=2) == []


def test_shards_of_two_layouts_do_not_say_what_a_folder_would_be(gallery):
    shards = [gallery.mix("cutmix", f"s{i}", format=form, shard=(i, 2)).path
              for i, form in enumerate(("jpg", "webdataset-jpg"))]  # fmt: skip
    with pytest.raises(UsageError, match=r"s0 is a folder of \.jpg and .*s1 is a folder of \.tar, .*name a \.h5"):
        merge(shards, gallery.folder / "merged")
    assert not (gallery.folder / "merged").exists()
    merge(shards, gallery.folder / "merged.h5")
    assert rows_of(gallery.folder / "merged.h5") == rows_of(gallery.mix("cutmix", "whole", format="jpg").path)


def test_shards_merge_whatever_the_decoder_and_not_with_other_bytes(gallery, monkeypatch):
    shards = [gallery.mix("cutmix", f"s{i}", format="jpg", shard=(i, 2)).path for i in (0, 1)]
    with monkeypatch.context() as patch:
        off_by_a_level(patch)
        merge(shards, gallery.folder / "merged")
        with pytest.raises(MixError, match=r"window 0 .* is damaged"):
            merge(shards, gallery.folder / "merged.h5")
    assert faults(gallery.folder / "merged") == []
    longer(shards[1] / "00001" / sorted(os.listdir(shards[1] / "00001"))[0])
    with pytest.raises(MixError, match=r"s1: window 1 .* is damaged; make this shard again"):
        merge(shards, gallery.folder / "again")


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def test_other_bytes_of_the_same_pixels_are_a_fault(gallery):
    made = gallery.mix("cutmix", "mixed", format="jpg", k=1)
    longer(made.path / "00001" / "000009.jpg")
    assert faults(made.path) == [
        f"{made.path}[8]: window 1, rows 8..15: the files are not those that were written, though their pixels are"
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start", ["lossless.h5", "lossless"])
def test_a_lossless_dataset_becomes_the_lossy_one_of_a_run(gallery, form, start):
    arguments = {"include_originals": True, "keep": ("mask",)}
    lossless = gallery.mix("cutmix", start, **arguments)
    found = mixcli.convert(str(lossless.path), str(gallery.folder / "lossy"), format=form, quality=80)
    run = gallery.mix("cutmix", "run", format=form, quality=80, **arguments)
    assert files_of(found.path) == files_of(run.path)
    assert found.manifest["windows"] == run.manifest["windows"] and found.manifest["recipe"] == run.manifest["recipe"]
    assert found.manifest["versions"] == run.manifest["versions"]
    assert faults(found.path, replay=None) == [] and faults(lossless.path, replay=None) == []


def test_a_lossy_dataset_loses_nothing_more(gallery):
    made = gallery.mix("cutmix", "mixed", format="jpg", quality=80, keep=("mask",))
    tars = mixcli.convert(str(made.path), str(gallery.folder / "tars"), format="webdataset-jpg")
    assert files_of(tars.path) == files_of(gallery.mix("cutmix", "t", format="webdataset-jpg", quality=80,
                                                       keep=("mask",)).path)  # fmt: skip
    back = mixcli.convert(str(tars.path), str(gallery.folder / "back"), format="jpg", quality=80)
    assert files_of(back.path) == files_of(made.path) and faults(back.path, replay=None) == []
    plain = mixcli.convert(str(made.path), str(gallery.folder / "plain"), format="webdataset")
    assert rows_of(plain.path) == rows_of(made.path) and faults(plain.path, replay=None) == []
    for source, form, quality in ((made, "jpg", 90), (made, "webp", None), (plain, "jpg", 80)):
        with pytest.raises(UsageError, match="went through jpg of quality 80 already and would lose twice; take png"):
            mixcli.convert(str(source.path), str(gallery.folder / "no"), format=form, quality=quality)


@pytest.mark.parametrize("form", [*FORMS, "png", "webdataset"])
def test_a_source_of_pictures_to_any_format(gallery, form):
    out, arguments = gallery.folder / "out", [] if form in ("png", "webdataset") else ["--quality", "70"]
    command = ["convert", str(gallery.source), str(out), "--format", form, *arguments]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.stderr
    suffix = {"webdataset": ".tar", "webdataset-jpg": ".tar"}.get(form, f".{form}")
    assert inspect(out)["container"] == f"folder of {suffix}" and faults(out, replay=None) == []
    how = encoding(form.removeprefix("webdataset-").replace("webdataset", "png"), 70 if arguments else None)
    lossless = Dataset(mixcli.convert(str(gallery.source), str(gallery.folder / "l.h5")).path).read(0, 24)["data"]
    assert (Dataset(out).read(0, 24)["data"] == through(lossless, how)).all()


def test_conversions_that_do_not_fit(gallery, tiny):
    mixed = gallery.mix("cutmix", "mixed.h5").path
    for source, out, arguments, says in (
        (mixed, "o.h5", {"format": "jpg"}, "--format jpg writes a folder of pictures; name a folder"),
        (mixed, "o", {"format": "gif"}, "--format gif: must be one of png"),
        (mixed, "o", {"quality": 80}, "--quality 80: is for jpg and webp"),
        (gallery.source, "o", {"quality": 80}, "--quality 80: is for jpg and webp"),
        (tiny.source, "o", {"format": "jpg"}, "--format: is for images, and points are converted; leave it out"),
        (tiny.mix("m.h5").path, "o", {"format": "jpg"}, "--format: is for images, and points are converted"),
        (tiny.mix("n.h5").path, "o", {"format": "webdataset"}, "--format: is for images, and points are converted"),
    ):
        with pytest.raises(MixError, match=says):
            mixcli.convert(str(source), str(gallery.folder / out), **arguments)
    assert not any(gallery.folder.glob("o*"))


@pytest.mark.parametrize("form", FORMS)
def test_a_lossy_dataset_is_a_source(gallery, form):
    made = gallery.mix("cutmix", "mixed", format=form)
    again = mixcli.mix("guidedmixup", str(made.path), str(gallery.folder / "again.h5"), window=16)
    assert faults(again.path, replay=None) == []
    path = next(iter(sorted(made.path.glob(f"*/*.{form}")) or sorted(made.path.glob("*.tar"))))
    whole = path.read_bytes()
    at = 700 if path.suffix == ".tar" else len(whole) - 1  # of a picture
    path.write_bytes(lying(whole, at, bytes([whole[at] ^ 1])))
    assert any("not the source that the manifest names (SHA-256 differs)" in fault for fault in faults(again.path))


@pytest.mark.parametrize("told", [".exe", ".png/", 7, [".jpg"], {}])
def test_a_manifest_that_lies_about_its_files(gallery, told):
    made = gallery.mix("cutmix", "mixed", format="jpg")
    manifest = json.loads((made.path / "manifest.json").read_text())
    (made.path / "manifest.json").write_text(json.dumps(manifest | {"pictures": told}))
    assert "are none that mixcli writes" in faults(made.path)[0]


def test_a_lossy_folder_can_be_replaced_and_nothing_else_in_it(gallery):
    made = gallery.mix("cutmix", "mixed", format="webp", keep=("mask",))
    gallery.mix("cutmix", "mixed", format="jpg", overwrite=True)
    shutil.copy(gallery.ckpt, made.path / "00000" / "mine.jpg")
    with pytest.raises(UsageError, match=r"holds 00000/mine\.jpg, which mixcli did not write"):
        gallery.mix("cutmix", "mixed", format="jpg", overwrite=True)
    assert (made.path / "00000" / "mine.jpg").exists()


def test_options_that_do_not_fit_together(tmp_path):
    method = get("cutmix")()
    for out, arguments, says in (
        ("m.h5", {"format": "jpg"}, "--format jpg writes a folder of pictures; name a folder"),
        ("m.h5", {"format": "webdataset-jpg"}, "--format webdataset-jpg writes a folder of tars; name a folder"),
        ("m", {"quality": 90}, "--quality 90: is for jpg and webp"),
        ("m", {"format": "webdataset", "quality": 90}, "--quality 90: is for jpg and webp"),
        ("m", {"format": "jpg", "png_level": 1}, "--png-level 1"),
        ("m", {"format": "gif"}, "--format gif: must be one of png, jpg, webp, webdataset"),
        ("m", {"format": "jpg", "quality": 101}, "--quality 101"),
    ):
        with pytest.raises(UsageError, match=says):
            Job(method, ("photos",), tmp_path / out, **arguments)
    assert os.listdir(tmp_path) == []
