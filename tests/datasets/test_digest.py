import hashlib

import numpy as np

from mixcli.data.fields import Field
from mixcli.datasets.codec import FILES
from mixcli.datasets.digest import Digest, WindowDigest


def test_digest_does_not_depend_on_the_blocks():
    spec = (Field("a", (3,), "<f4"), Field("b", (), "<i8"))
    rows = {"a": np.arange(12, dtype="<f4").reshape(4, 3), "b": np.arange(4)}
    whole, parts = Digest(spec), Digest(spec)
    whole.update(rows)
    for i in range(4):
        parts.update({name: array[i : i + 1] for name, array in rows.items()})
    assert whole.hexdigest() == parts.hexdigest()
    by_hand = [hashlib.sha256(rows[name].tobytes()).digest() for name in "ab"]
    assert whole.hexdigest() == hashlib.sha256(b"".join(by_hand)).hexdigest()


def test_the_files_of_lossy_pictures_have_a_digest_of_their_own():
    spec = (Field("data", (2,), "|u1"), Field("label", (), "<i8"))
    rows = {"data": np.arange(4, dtype="|u1").reshape(2, 2), "label": np.arange(2)}
    plain, lossy = WindowDigest(spec), WindowDigest(spec)
    plain.update(rows)
    lossy.update({**rows, FILES: np.frombuffer(b"jpeg", np.uint8)})
    assert plain.entries() == {"sha256": lossy.entries()["sha256"]}
    by_hand = hashlib.sha256(b"jpeg").digest() + hashlib.sha256(rows["label"].tobytes()).digest()
    assert lossy.entries()["files_sha256"] == hashlib.sha256(by_hand).hexdigest()
