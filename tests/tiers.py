"""Two tiers of tests: the quick ones of `make test`, and those marked `slow`, of `make test-slow`.

Without `--tier` all run. Nothing is left out silently: the last lines say how many ran, how many were skipped and why,
and how many were left to the other tier. A plugin of pytest, which also works where xdist shares the tests out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

OTHER = {"quick": "make test-slow", "slow": "make test"}
LEFT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=["all", "quick", "slow"], default="all", help="run only this tier of tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; `make test-slow` runs it, `make test` does not")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests of the other tier, and count them."""
    tier = config.getoption("--tier")
    if tier == "all":
        return
    slow = {item for item in items if item.get_closest_marker("slow")}
    other = [item for item in items if (item in slow) != (tier == "slow")]
    items[:] = [item for item in items if item not in set(other)]
    config.stash[LEFT] = len(other)
    config.hook.pytest_deselected(items=other)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist tells the one that reports."""
    output = getattr(session.config, "workeroutput", None)  # of workers alone
    if output is not None:
        output["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects all tests, so that one count is the count."""
    left = getattr(node, "workeroutput", {}).get("left", 0)
    node.config.stash[LEFT] = max(left, node.config.stash.get(LEFT, 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What ran, what was skipped and why, what was left to the other tier."""
    stats = terminalreporter.stats
    count = {kind: len(stats.get(kind, ())) for kind in ("passed", "failed", "error", "xfailed", "xpassed")}
    ran = sum(number for kind, number in count.items() if kind != "error")
    told = {"failed": count["failed"], "errors": count["error"]}
    bad = "".join(f", {word}: {number}" for word, number in told.items() if number)
    skipped = stats.get("skipped", [])
    terminalreporter.section("what ran")
    terminalreporter.line(f"{ran} tests ran{bad or ', none failed'}; {len(skipped)} were skipped")
    for why, number in Counter(map(reason, skipped)).most_common():
        terminalreporter.line(f"  {number} skipped: {why}")
    if left := config.stash.get(LEFT, 0):
        terminalreporter.line(f"{left} were left to `{OTHER[config.getoption('--tier')]}`")


def reason(report: Any) -> str:
    """Why a test was skipped, without where."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")
