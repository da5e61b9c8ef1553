import csv
import json

import h5py
import numpy as np
import pytest
from rounded import read_geometry
from scipy.spatial import cKDTree

from mixcli.files.geometry import Geometry
from mixcli.files.meshes import sample_surface

# A floor of area 8 in two triangles, a wall of area 2 and a triangle without area.
POINTS = np.array([[0, 0, 0], [4, 0, 0], [4, 2, 0], [0, 2, 0], [4, 0, 2], [8, 0, 0]], np.float32)
ROOM = Geometry(POINTS, faces=np.array([[0, 1, 2], [0, 2, 3], [0, 1, 5], [1, 2, 4]]))


def test_points_lie_on_the_faces_with_their_normals():
    cloud = sample_surface(ROOM, 5000, 3)
    assert cloud.points.dtype == cloud.normals.dtype == np.float32 and cloud.faces is None
    floor, wall = cloud.points[:, 2] == 0, cloud.points[:, 0] == 4
    assert (floor | wall).all()
    assert np.array_equal(cloud.normals[~floor], np.tile([1, 0, 0], ((~floor).sum(), 1)))
    assert np.array_equal(cloud.normals[~wall], np.tile([0, 0, 1], ((~wall).sum(), 1)))
    assert (cloud.points >= 0).all() and (cloud.points <= [4, 2, 2]).all()


def test_faces_get_points_by_their_area():
    cloud = sample_surface(ROOM, 20_000, 3)
    share = (cloud.normals[:, 2] == 1).mean()
    assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 20_000)


def test_points_are_uniform_within_a_triangle():
    """Four like triangles that halve the sides have a quarter of the points each."""
    cloud = sample_surface(Geometry(POINTS[:3] * [0.25, 0.5, 0], faces=np.array([[0, 1, 2]])), 20_000, 1)
    x, y = cloud.points[:, 0], cloud.points[:, 1]  # corners (0,0), (1,0), (1,1)
    parts = np.array([x < 0.5, y > 0.5, (x > 0.5) & (x - y > 0.5), (x > 0.5) & (x - y < 0.5) & (y < 0.5)])
    assert (np.abs(parts.mean(1) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20_000)).all()


def test_the_key_alone_decides():
    first, same, other = (sample_surface(ROOM, 256, key).points for key in (7, 7 + 2**32, 8))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    assert np.array_equal(sample_surface(ROOM, 64, 7).points, first[:64]), "fewer points are the first of more"
    assert np.allclose(first[0], [4, 0.15408392, 1.7985772], atol=1e-6), "a number that must never change"


@pytest.mark.parametrize(
    ("points", "faces", "reason"),
    [
        (POINTS, None, "no faces"),
        (POINTS, np.empty((0, 3), np.int64), "no faces"),
        (POINTS, np.array([[0, 1, 5], [2, 2, 2]]), "zero area"),
        (np.where(POINTS == 8, np.nan, POINTS), ROOM.faces, "face 2 of the mesh has a corner that is not finite"),
        (np.where(POINTS == 8, np.inf, POINTS), ROOM.faces, "face 2 of the mesh has a corner that is not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_no_surface(points, faces, reason):
    with pytest.raises(ValueError, match=reason):
        sample_surface(Geometry(points, faces=faces), 10, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 4e37])
def test_meshes_of_any_size(scale):
    cloud = sample_surface(Geometry((POINTS * scale).astype(np.float32), faces=ROOM.faces), 500, 3)
    assert np.allclose(cloud.points / np.float32(scale), sample_surface(ROOM, 500, 3).points, atol=1e-5)
    assert np.array_equal(np.linalg.norm(cloud.normals, axis=1), np.ones(500))


def unit(points):
    points = points - points.mean(0)
    return points / np.linalg.norm(points, axis=1).max()


def chamfer(a, b):
    return cKDTree(a).query(b)[0].mean() + cKDTree(b).query(a)[0].mean()


def real_pairs(folder):
    """(mesh file, index of its cloud in ply_data_train0.h5) of all training meshes, which are numbered by class."""
    index = json.loads((folder / "ply_data_train_0_id2file.json").read_text())
    number = {}
    for row in csv.DictReader((folder / "index.csv").open()):
        name = row["class"]
        number[name] = number.get(name, 0) + 1
        if row["split"] == "train":
            yield folder / "off" / name / "train" / f"{name}_{number[name]:04d}.off", index.index(row["mesh"])


def test_real_meshes_give_the_clouds_that_were_made_of_them(shared):
    """As near to the published cloud as one sample of a mesh is to another, on average within 3%."""
    folder = shared / "data" / "pc_kaykit_cc0"
    with h5py.File(folder / "ply_data_train0.h5") as file:
        clouds = file["data"][()]
    ratios = []
    for path, i in real_pairs(folder):
        mesh = read_geometry(path)
        ours, again = (unit(sample_surface(mesh, 2048, key).points) for key in (1, 2))
        ratios.append(chamfer(ours, clouds[i]) / chamfer(ours, again))
    assert len(ratios) == 165
    assert abs(np.median(ratios) - 1) < 0.03 and max(ratios) < 1.6
