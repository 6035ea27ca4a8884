"""SparseConvNet's training loop for classifiers, which its examples call."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sscn_triton.common.files import write_whole
from sscn_triton.common.tensors import save_tensors
from sscn_triton.compat import sparseconvnet

DEFAULTS = {
    "n_epochs": 100,
    "initial_lr": 0.1,
    "lr_decay": 0.04,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "check_point": False,
    "test_reps": 1,
}


def ClassificationTrainValidate(model: torch.nn.Module, dataset: dict[str, Any], p: dict[str, Any]) -> None:
    """Train with SGD, printing accuracy and loss on both sets after every epoch.

    After every epoch the learning rate is multiplied by ``exp(-lr_decay)``; confusion matrices are written to
    ``train confusion matrix.csv`` and ``test confusion matrix.csv``. With ``check_point`` the run is saved to
    ``epoch.pth`` and ``model.pth`` after every epoch, and continues from them if they exist.

    Args:
        model: takes a batch's ``"input"``, returns ``[B, classes]``.
        dataset: ``{"train": batches, "val": batches}``, each batch ``{"input": ..., "target": [B] int64}``.
        p: n_epochs (100), initial_lr (0.1), lr_decay (0.04), weight_decay (1e-4), momentum (0.9), check_point (False),
            use_cuda (whether there is a GPU); missing entries are filled in, as SparseConvNet does.

    Raises:
        ValueError: if an entry of ``p`` is unknown, or ``test_reps`` is not 1.
    """
    _fill_in(p)
    if p["use_cuda"]:
        model.cuda()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=p["initial_lr"],
        momentum=p["momentum"],
        weight_decay=p["weight_decay"],
        nesterov=p["momentum"] > 0,
    )
    p["epoch"] = 1
    if p["check_point"] and Path("epoch.pth").is_file():
        p["epoch"] = torch.load("epoch.pth") + 1
        print(f"Restarting at epoch {p['epoch']} from model.pth ..")
        model.load_state_dict(torch.load("model.pth"))
    print(p)
    print("#parameters", sum(parameter.numel() for parameter in model.parameters()))
    for epoch in range(p["epoch"], p["n_epochs"] + 1):
        for group in optimizer.param_groups:
            group["lr"] = p["initial_lr"] * math.exp((1 - epoch) * p["lr_decay"])
        print(epoch, _pass(model.train(), dataset["train"], p["use_cuda"], "train", optimizer))
        if p["check_point"]:
            save_tensors(model.state_dict(), "model.pth", overwrite=True)
            save_tensors(epoch, "epoch.pth", overwrite=True)
        with torch.no_grad():
            print(epoch, _pass(model.eval(), dataset["val"], p["use_cuda"], "test"))


def _fill_in(p: dict[str, Any]) -> None:
    if "use_gpu" in p:
        p["use_cuda"] = p.pop("use_gpu")
    unknown = sorted(set(p) - {*DEFAULTS, "use_cuda", "epoch"})
    if unknown:
        raise ValueError(
            f"p contains unknown entries {', '.join(unknown)}; known are {', '.join([*DEFAULTS, 'use_cuda'])}"
        )
    for name, value in DEFAULTS.items():
        p.setdefault(name, value)
    p.setdefault("use_cuda", torch.cuda.is_available())
    if p["test_reps"] != 1:
        raise ValueError(f"test_reps must be 1, got {p['test_reps']}: average the model's outputs over passes yourself")


def _pass(
    model: torch.nn.Module,
    batches: Iterable[dict[str, Any]],
    use_cuda: bool,
    name: str,
    optimizer: torch.optim.Optimizer | None = None,
) -> str:
    """One pass over a set, with training if an optimizer is given; returns the line to print."""
    module: Any = sparseconvnet
    module.forward_pass_multiplyAdd_count = module.forward_pass_hidden_states = 0
    start, samples, top1, top5, loss_sum = time.time(), 0, 0, 0, 0.0
    confusion: Tensor | None = None
    for batch in batches:
        inputs, target = batch["input"], batch["target"]
        if use_cuda:
            inputs, target = inputs.cuda(), target.cuda()
        output = model(inputs)
        loss = torch.nn.functional.cross_entropy(output, target)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ranked = output.detach().argsort(1, descending=True)[:, :5] == target[:, None]
        samples, loss_sum = samples + len(target), loss_sum + loss.item() * len(target)
        top1, top5 = top1 + int(ranked[:, 0].sum()), top5 + int(ranked.sum())
        if confusion is None:
            confusion = output.new_zeros(output.shape[1], output.shape[1])
        confusion.index_add_(0, target, output.detach().softmax(1))
    if confusion is None:
        raise ValueError(f"the {name} set has no batches")
    rows = [",".join(f"{value:.18e}" for value in row) for row in confusion.tolist()]
    write_whole(f"{name} confusion matrix.csv", "\n".join(rows) + "\n", overwrite=True)
    multiply_adds, hidden = module.forward_pass_multiplyAdd_count, module.forward_pass_hidden_states
    return (
        f"{name}: top1={100 * (1 - top1 / samples):.2f}% top5={100 * (1 - top5 / samples):.2f}% "
        f"nll:{loss_sum / samples:.2f} time:{time.time() - start:.1f}s "
        f"{multiply_adds / samples:.3e} MultiplyAdds/sample {hidden / samples:.3e} HiddenStates/sample"
    )
