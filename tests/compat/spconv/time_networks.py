"""CPU seconds of pimm's and Panda's networks, unedited, on one event, in one thread.

    python tests/compat/spconv/time_networks.py FOLDER_OF_CLONES EVENTS [NETWORK ...]

The event is that with the most voxels among the first 50 of the file. Times are medians of three forward passes and of
three training steps (AdamW), of the CPU time of the process, after one of each.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import torch

from sscn_triton import lartpc
from tests.compat.spconv import foreign_networks, foreign_stubs


def event_of(path):
    """The input of pimm's networks: normalised position and the logarithm of the energy, as its transforms make it."""
    with lartpc.open_events(path) as events:
        event = max((events[n] for n in range(min(50, len(events)))), key=lambda event: len(event.coordinates))
    sites = torch.as_tensor(event.coordinates)
    position = (sites - 384.0) / (384 * 3**0.5)
    energy = torch.as_tensor(event.energy).float().reshape(-1, 1).clamp(0.01, 20).log10()
    features = torch.cat([position, energy], 1)
    return {"grid_coord": sites.int(), "coord": position, "feat": features, "offset": torch.tensor([len(sites)])}


def seconds(function, repeats=3):
    """The median of the CPU time, after one call."""
    found = []
    for _ in range(repeats + 1):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return statistics.median(found[1:])


def measure(name, given):
    """A line of the table."""
    torch.manual_seed(7)
    network, _, run = foreign_networks.NETWORKS[name][1]()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def forward():
        network.eval()
        with torch.no_grad():
            run(given)

    def step():
        network.train()
        (output,) = run(given).values()
        optimizer.zero_grad()
        output.square().mean().backward()
        optimizer.step()

    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    print(
        f"{name}: {parameters:.1f} M parameters, {len(given['feat'])} voxels: forward {seconds(forward):.2f} s, "
        f"step {seconds(step):.2f} s (load {os.getloadavg()[0]:.1f})",
        flush=True,
    )


if __name__ == "__main__":
    clones, events, *names = sys.argv[1:]
    torch.set_num_threads(1)
    given = event_of(events)
    foreign_networks.use("sscn")
    foreign_stubs.install_foreign()
    foreign_stubs.install_projects(clones)
    for name in names or ("pimm SpUNet-v1m1", "Panda PTv3", "Panda PTv3, encoder"):
        measure(name, given)
