"""`sscn export`: a checkpoint becomes a program."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from sscn_triton import SparseTensor, cli, models
from sscn_triton.export import load_exported

ABOUT = {"classes": ["one", "other"], "energy_unit": 0.05}


def test_the_exported_checkpoint_gives_its_networks_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = models.SparseUResNet(num_classes=2, filters=1, depth=4, repetitions=1).eval()
    network.save_pretrained(tmp_path / "network", ABOUT)
    path = tmp_path / "network.pt2"
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["export", "--checkpoint", str(tmp_path / "network"), "--out", str(path)])
    assert capsys.readouterr().out == (
        f"{path}: energies of voxels on 3 axes, in units of 0.05 MeV, to scores for one, other\n"
    )
    exported = load_exported(path)
    assert exported.about == ABOUT
    sizes = [leaf.shape[0] for leaf in tree_leaves(exported.program.example_inputs)]
    assert min(sizes) > 1  # Inductor would take 1 for a constant
    for voxels in (1, 100):
        sites = torch.unique(torch.randint(20, (voxels, 3)), dim=0)
        x = SparseTensor(torch.rand(len(sites), 1), torch.nn.functional.pad(sites, (1, 0)), 20)
        torch.testing.assert_close(exported(x), network(x).features.detach())


def test_a_network_of_two_channels_can_be_exported(tmp_path: Path) -> None:
    models.SparseUResNet(2, 2, filters=1, depth=1, repetitions=1).save_pretrained(tmp_path / "network", ABOUT)
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["export", "--checkpoint", str(tmp_path / "network"), "--out", str(tmp_path / "network.pt2")])
    assert load_exported(tmp_path / "network.pt2").takes.channels == 2


def test_a_dense_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = models.DenseUResNet(num_classes=2, filters=1, depth=2, repetitions=1)
    network.save_pretrained(tmp_path / "network", ABOUT)
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["export", "--checkpoint", str(tmp_path / "network"), "--out", str(tmp_path / "network.pt2")])
    assert "a dense network, which uses no rulebooks" in capsys.readouterr().err
    assert not (tmp_path / "network.pt2").exists()
