"""Points become voxels as in spconv, and scripts that import it run unedited."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from sscn_triton.compat.spconv import utils
from sscn_triton.compat.spconv.pytorch.utils import PointToVoxel, gather_features_by_pc_voxel_id

POINTS = torch.tensor(
    [[0.1, 0.1, 5.0], [1.9, 0.1, 6.0], [0.2, 0.4, 7.0], [0.3, 0.3, 8.0], [-0.1, 0, 9], [2.0, 0, 9], [0.1, 1.2, 1.0]]
)


@pytest.mark.parametrize("mean", [False, True])
def test_voxels_are_in_the_order_of_their_first_points(mean):
    make = PointToVoxel([0.5, 0.5], [0, 0, 2, 1.5], 3, 3, 2)
    assert make.grid_size == [3, 4]
    voxels, sites, counts, of_point = make.generate_voxel_with_id(POINTS, empty_mean=mean)
    assert sites.tolist() == [[0, 0], [0, 3], [2, 0]]
    assert counts.tolist() == [2, 1, 1]
    assert of_point.tolist() == [0, 1, 0, 0, -1, -1, 2]
    torch.testing.assert_close(voxels[0], POINTS[[0, 2]])
    torch.testing.assert_close(voxels[1], torch.stack([POINTS[1], POINTS[1] if mean else torch.zeros(3)]))
    found = gather_features_by_pc_voxel_id(torch.tensor([[1.0], [2.0], [3.0]]), of_point, -5)
    assert found[:, 0].tolist() == [1, 2, 1, 1, -5, -5, 3]
    few = PointToVoxel([0.5, 0.5], [0, 0, 2, 1.5], 3, 2, 2).generate_voxel_with_id(POINTS)
    assert few[1].tolist() == [[0, 0], [0, 3]]
    assert few[3].tolist() == [0, 1, 0, 0, -1, -1, -1]
    assert len(make(POINTS[:0])[0]) == 0
    refused("clear_voxels", lambda: make(POINTS, clear_voxels=False))
    refused("\\[N, 3\\]", lambda: make(POINTS[:, :2]))


def test_the_generators_of_data_loaders_give_the_same_voxels():
    voxels, sites, counts = PointToVoxel([0.5, 0.5], [0, 0, 2, 1.5], 3, 3, 2)(POINTS)
    old = utils.VoxelGeneratorV2([0.5, 0.5], [0, 0, 2, 1.5], 2, 3).generate(POINTS.numpy())
    new = utils.Point2VoxelCPU2d([0.5, 0.5], [0, 0, 2, 1.5], 3, 3, 2).point_to_voxel(POINTS)
    for found in ((old["voxels"], old["coordinates"], old["num_points_per_voxel"]), [part.numpy() for part in new]):
        for one, other in zip(found, (voxels, sites, counts), strict=True):
            np.testing.assert_array_equal(one, other)
    refused("3 numbers", lambda: utils.Point2VoxelCPU3d([0.5, 0.5], [0, 0, 2, 1.5], 3, 3, 2))


SCRIPT = """
import sys, torch
import spconv
assert float(spconv.__version__[2:]) >= 2.2
spconv.constants.SPCONV_USE_DIRECT_TABLE = False
import spconv.pytorch as spconv
from spconv.pytorch.utils import PointToVoxel
from spconv.pytorch import functional as Fsp
from spconv.core import ConvAlgo
x = spconv.SparseConvTensor(torch.ones(2, 1), torch.tensor([[0, 1], [1, 3]]).int(), [4], 2)
layer = spconv.SubMConv1d(1, 3, 3, algo=ConvAlgo.Native)
print(sys.argv[1:], isinstance(layer, spconv.conv.SparseConvolution), layer(x).dense().shape, type(layer).__module__)
"""


def test_a_script_that_imports_spconv_runs_unedited(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "sscn_triton.compat", "spconv", "script.py", "--depth", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = "['--depth', '3'] True torch.Size([2, 3, 4]) sscn_triton.compat.spconv.pytorch.conv"
    assert done.stdout.strip() == expected


def refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
