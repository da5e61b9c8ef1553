"""What the engine's half of each kind gives, and that it knows no files."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mixcli.data.prepared_clouds import Clouds
from mixcli.errors import UsageError
from mixcli.methods import get
from mixcli.pipeline.job import Job
from mixcli.pipeline.kinds.hidden_tensors import HiddenTensors
from mixcli.pipeline.kinds.images_tensors import ImageTensors
from mixcli.pipeline.kinds.points_tensors import PointTensors
from mixcli.pipeline.kinds.tensors import Chunk, Feed, Taken
from mixcli.pipeline.report import Report
from mixcli.pipeline.setup import Setup

CPU = torch.device("cpu")


def test_the_engine_reaches_no_files_and_no_sources():
    halves = ", ".join(f"mixcli.pipeline.kinds.{name}_tensors" for name in ("points", "images", "hidden"))
    code = f"import mixcli.pipeline.engine, {halves}, sys\n"
    code += "rooms = ('mixcli.sources', 'mixcli.files', 'mixcli.datasets', 'h5py')\n"
    code += "known = [name for name in sys.modules if name.startswith(rooms)]"
    assert subprocess.run([sys.executable, "-c", f"{code}\nassert not known, known"]).returncode == 0


def test_what_was_taken_is_filled_in_and_taken_out_by_position():
    taken = Taken(saliency=np.zeros((3, 2), np.float32))
    taken.put(np.array([2, 0]), Taken(saliency=np.array([[1, 2], [3, 4]], np.float32)))
    assert taken.maps.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert taken[np.array([1])].maps.tolist() == [[0, 0]] and taken[np.array([1])].states is None
    with pytest.raises(AssertionError, match="no hidden states"):
        _ = taken.hidden


def test_states_are_no_saliency(gallery):
    """A layer's output goes into mixes and originals as it is."""
    job = Job(
        get("manifoldmixup")(), (str(gallery.source),), gallery.folder / "h.h5", str(gallery.ckpt), layer="layer1"
    )
    setup = Setup(job, Report())
    tensors = setup.kind.tensors(setup.settled, Feed(job.method, CPU, setup.model, layer="layer1"))
    values = setup.reader.read(np.arange(3)).values
    room, seen = tensors.blank(values), tensors.look(values, setup.source.labels[:3])
    assert isinstance(tensors, HiddenTensors) and room.saliency is seen.taken.saliency is None
    assert room.hidden.shape == seen.taken.hidden.shape == (3, *setup.fields[0].shape)
    assert tensors.unmixed(values, seen.taken)["data"] is seen.taken.states
    (mix,) = tensors.mixes(Chunk(values, seen.taken, np.array([0]), np.array([0]), None), [np.full((1, 1), 0.5)])
    assert torch.equal(mix.data, torch.from_numpy(seen.taken.hidden[:1]))


def test_normals_and_parts_travel_with_the_points():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(2, 5, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    parts = rng.integers(0, 4, (2, 5, 1))
    values = np.concatenate([rng.random((2, 5, 3)), normals, parts], 2).astype(np.float32)
    tensors = PointTensors(Feed(get("rsmix")(), CPU), has_normals=True, has_seg=True)
    chunk = Chunk(values, Taken(), np.array([0]), np.array([1]), None)
    (mix,) = tensors.mixes(chunk, [rng.random((1, get("rsmix").traits.draws))])
    for of, at in enumerate(mix.index[0].T.tolist()):
        mine = [i for i, place in enumerate(at) if place >= 0]
        clouds = Clouds(values, True, True)
        assert mix.seg[0, mine, of].tolist() == clouds.seg[of][[at[i] for i in mine]].tolist()
        assert torch.equal(mix.normal[0, mine], torch.from_numpy(clouds.normals[of][[at[i] for i in mine]]))


def test_the_words_of_each_kind_and_a_source_of_the_other(tiny, gallery):
    for name, source, one, more in (
        ("rsmix", tiny.source, "cloud", {"points": 64}),
        ("cutmix", gallery.source, "image", {}),
    ):
        assert Setup(Job(get(name)(), (str(source),), tiny.folder / "o.h5", **more), Report()).kind.one == one
    with pytest.raises(UsageError, match="holds images; rsmix mixes points"):
        Setup(Job(get("rsmix")(), (str(gallery.source),), tiny.folder / "o.h5"), Report())


def test_a_feed_without_a_model_says_so():
    with pytest.raises(AssertionError, match="cutmix is run without a model"):
        _ = ImageTensors(Feed(get("cutmix")(), CPU)).feed.net
