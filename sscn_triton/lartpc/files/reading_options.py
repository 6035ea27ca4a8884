"""Options of every command that reads event files: names used in files of other programs. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Names in event files of other programs, for `lartpc.open_events`.

    Args:
        energies: name of the tree (larcv2), group (larcv3), array (npz) or column (CSV) of energies, if it differs from
            the study's.
        truth: name of the tree, group, array or column of labels, or none to read without labels.
        truth_means: meaning of the labels: five-types (HIP, MIP, shower, delta, Michel), shapes (of PILArNet-M and
            SPINE: shower, track, Michel, delta, low-energy, ghost) or numbers, which are shown as they are. If omitted,
            labels named by truth are numbers.
        particles: name of the tree of particles (larcv2), or none to read without them.
        voxel_size: edge of a voxel in mm, instead of the file's.
        projection: number of the plane whose images to read, if an entry contains several images (larcv3).
        conventions: pilarnet-m for the conventions of results on PILArNet-M: only events of at least 1024 points, only
            voxels above 0.13 MeV, and shapes as labels.
    """

    energies: str | None = None
    truth: str | None = None
    truth_means: Literal["five-types", "shapes", "numbers"] | None = None
    particles: str | None = None
    voxel_size: float | None = None
    projection: int | None = None
    conventions: Literal["pilarnet-m"] | None = None

    def reading(self) -> dict[str, Any]:
        """The options, as keyword arguments of `lartpc.open_events`."""
        return {field.name: getattr(self, field.name) for field in fields(ReadingOptions)}

    def refuse_without_file(self, data: str | None) -> None:
        """Raise ValueError if an option is given although events are simulated."""
        given = [name for name, value in self.reading().items() if value is not None]
        if data is None and given:
            raise ValueError(f"{given[0]} applies to event files, not to simulated events: leave it out")
