"""Tiles cover an image, lie side by side in it, or share out its voxels, as their functions say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sscn_triton.lartpc import PARTICLE_DTYPE, Event
from sscn_triton.study.data.tiling import covering, fitting, sharing

SHAPE = (5, 8)


@pytest.fixture
def event() -> Event:
    """An image of 5 x 8 voxels, all active; the energy of each is its number."""
    sites = np.argwhere(np.ones(SHAPE, bool))
    numbers = np.arange(len(sites), dtype=np.float32)
    no_particles = np.zeros(0, PARTICLE_DTYPE)
    return Event(sites, numbers + 1, np.zeros(len(sites), int), no_particles, 3.0, np.zeros(2), SHAPE, "full")


def corners(tiles: list[Event]) -> list[tuple[int, ...]]:
    return [tuple(np.round(tile.origin / 3.0).astype(int).tolist()) for tile in tiles]


def test_covering_tiles_end_at_the_border_and_the_last_ones_overlap_others(event: Event) -> None:
    tiles = covering(event, 3)
    assert corners(tiles) == [(row, column) for row in (0, 2) for column in (0, 3, 5)]
    assert all(tile.spatial_shape == (3, 3) and len(tile) == 9 for tile in tiles)
    assert set(np.concatenate([tile.energy for tile in tiles])) == set(event.energy)


def test_fitting_tiles_leave_the_remainder_out(event: Event) -> None:
    assert corners(fitting(event, 3)) == [(0, 0), (0, 3)]
    assert corners(fitting(event, 4)) == [(0, 0), (0, 4)]
    assert corners(fitting(event, 5)) == [(0, 0)]


def test_sharing_tiles_label_every_voxel_once_and_are_not_empty(event: Event) -> None:
    tiles = sharing(event, 3)
    assert corners(tiles) == corners(covering(event, 3))
    labelled = np.concatenate([tile.energy[tile.labels >= 0] for tile in tiles])
    assert sorted(labelled) == sorted(event.energy)
    assert [int((tile.labels >= 0).sum()) for tile in tiles] == [9, 9, 6, 6, 6, 4]
    few = event.replace(
        coordinates=event.coordinates[:1], energy=event.energy[:1], labels=event.labels[:1], clusters=np.array([-1])
    )
    assert corners(sharing(few, 3)) == [(0, 0)]
    inside_two = np.array([[4, 4]])  # of the tiles from column 3 and column 5 only the first contains it
    moved = few.replace(coordinates=inside_two)
    assert corners(sharing(moved, 3)) == [(2, 3)]


@pytest.mark.parametrize("tiles", [covering, fitting, sharing])
def test_a_tile_of_the_whole_image_is_the_image_and_a_larger_one_is_refused(
    event: Event, tiles: Callable[[Event, int], list[Event]]
) -> None:
    square = event.replace(coordinates=event.coordinates, spatial_shape=(8, 8), labels=np.arange(len(event)) % 5)
    (whole,) = tiles(square, 8)
    np.testing.assert_array_equal(whole.coordinates, square.coordinates)
    np.testing.assert_array_equal(whole.labels, square.labels)
    with pytest.raises(ValueError, match=r"^crop must fit into the images of full, \(5, 8\), got 6$"):
        tiles(event, 6)
