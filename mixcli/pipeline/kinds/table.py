"""The kinds by name."""

from __future__ import annotations

from mixcli.pipeline.kinds.contract import Kind


def kind(name: str) -> Kind:
    """Of "points", "images", or "hidden" states of networks of images."""
    if name == "points":
        from mixcli.pipeline.kinds.points import Points

        return Points()
    if name == "images":
        from mixcli.pipeline.kinds.images import ImageFiles

        return ImageFiles()
    from mixcli.pipeline.kinds.hidden import HiddenStates

    return HiddenStates()
