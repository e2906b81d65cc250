"""Strokes, colours and ground-truth masks that come with the plugin, made by hand."""

from pathlib import Path


def shipped_file(photo: str | None, name: str) -> Path | None:
    """The file `name` shipped for a photo, if there is one."""
    path = Path(__file__).parent / f"{photo}-{name}"
    return path if photo is not None and path.is_file() else None
