"""The symmetries of a cube: a rotated or mirrored event is as likely as the event itself."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from sscn_triton.lartpc import Event

Symmetry = tuple[tuple[int, ...], tuple[bool, ...]]


def symmetries(shape: tuple[int, ...]) -> list[Symmetry]:
    """All symmetries of an image of this shape, as a permutation of the axes and a choice of axes to mirror after it.

    There are 48 for a cube and 8 for a square; axes of different length are not exchanged.
    """
    axes = [order for order in permutations(range(len(shape))) if all(shape[i] == n for i, n in zip(order, shape))]  # noqa: B905
    return list(product(axes, product((False, True), repeat=len(shape))))


def transform(event: Event, symmetry: Symmetry) -> Event:
    """The event with voxels rotated or mirrored about the image's centre. Particles, in mm, stay unchanged."""
    order, mirrored = symmetry
    coordinates = event.coordinates[:, order]
    flipped = np.array(event.spatial_shape) - 1 - coordinates
    return event.replace(coordinates=np.where(mirrored, flipped, coordinates))


def random_transform(event: Event, generator: np.random.Generator) -> Event:
    """The event under a random symmetry of its image; all symmetries are equally likely."""
    choices = symmetries(event.spatial_shape)
    return transform(event, choices[generator.integers(len(choices))])


def random_shift(event: Event, most: int, generator: np.random.Generator) -> Event:
    """The event moved by 0 to `most` voxels along each axis, in an image that is `most` voxels larger."""
    moved = event.coordinates + generator.integers(0, most + 1, event.coordinates.shape[1], dtype=np.int32)
    return event.replace(coordinates=moved, spatial_shape=tuple(n + most for n in event.spatial_shape))
