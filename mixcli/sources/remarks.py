"""What is worth a word of samples as they are read: how they were read where that was a guess, what was left out."""

from __future__ import annotations

from collections.abc import Iterator


class Remarks:
    """By what is remarked, the rows of a part, or the samples of a source, that it is true of. Threads may add."""

    def __init__(self) -> None:
        self.rows: dict[str, set[int]] = {}
        self.said: dict[str, int] = {}  # of how many rows each was told

    def add(self, what: str, row: int) -> None:
        """what: of many samples, as the rest of a sentence."""
        self.rows.setdefault(what, set()).add(row)

    def news(self, one: str) -> Iterator[str]:
        """What was not told yet, or of fewer samples, as the end of a note. one: what a sample is called.

        >>> remarks = Remarks()
        >>> remarks.add("colours are left out", 3)
        >>> list(remarks.news("cloud")), list(remarks.news("cloud"))
        (['colours are left out, in 1 cloud'], [])
        """
        for what, rows in list(self.rows.items()):
            count = len(rows)
            if count > self.said.get(what, 0):
                self.said[what] = count
                yield f"{what}, in {count:,} {one}{'s' * (count != 1)}"
