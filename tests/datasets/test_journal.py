"""The journal: what a run of before has finished, whatever a kill has left of it."""

import pytest

from mixcli.datasets.journal import Journal, check_finished, check_there, journal_of
from mixcli.errors import UsageError

HEADER = {"recipe": {"k": 1}, "layout": {}, "batch": 8}
RECORD = {
    "window": 0, "first_row": 0, "rows": 4, "sha256": "ab", "batch": 8, "judged": 4, "correct": 3,
    "uniform_saliency": 0, "pairing_fallback": 0, "skipped": [],
}  # fmt: skip


def written(path, *windows):
    journal = Journal(path)
    journal.start(HEADER)
    for window in windows:
        journal.add({**RECORD, "window": window})
    journal.close()
    return path


def read(path):
    journal = Journal(path)
    journal.read()
    journal.close()
    return journal


@pytest.mark.parametrize("torn", [b"", b'{"window": 2', b'{"window": 2}\n', b"no json\n", b"[]\n"])
def test_what_follows_the_last_whole_line_is_cut_off(tmp_path, torn):
    path = written(tmp_path / "journal", 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    journal = read(path)
    assert journal.header == HEADER and sorted(journal.records) == [0, 1]
    assert path.read_bytes() == whole


def test_a_journal_without_a_header_is_none(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'{"window": 0}\n')
    journal = read(path)
    assert journal.header == {} and journal.records == {} and path.read_bytes() == b""


def test_one_run_at_a_time(tmp_path):
    journal = Journal(tmp_path / "journal")
    with pytest.raises(UsageError) as error:
        Journal(tmp_path / "journal")
    assert error.value.address == str(tmp_path / "journal")
    assert str(error.value).endswith(": another mixcli run is writing this dataset; wait for it or stop it")
    journal.close()
    Journal(tmp_path / "journal").close()


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "kept").write_text("years of work")
    (tmp_path / "journal").symlink_to(tmp_path / "kept")
    with pytest.raises(UsageError, match="journal: is a symbolic link, which mixcli does not write through; remove it"):
        Journal(tmp_path / "journal")
    assert (tmp_path / "kept").read_text() == "years of work"


def test_what_is_unfinished_is_told_by_either_name(tmp_path):
    out, part = tmp_path / "mixed.h5", tmp_path / "mixed.h5.part"
    with pytest.raises(UsageError, match=r"mixed\.h5: no such dataset"):
        check_there(out)
    part.touch()
    check_finished(part)
    journal_of(part).touch()
    with pytest.raises(UsageError, match=r"mixed\.h5: unfinished \(.*\.part\); .* run it again"):
        check_finished(out)
    written(journal_of(part))
    with pytest.raises(UsageError, match=r"mixed\.h5\.part: unfinished; wait for the run .* --resume goes on with it"):
        check_finished(part)
    out.touch()
    check_there(out)
