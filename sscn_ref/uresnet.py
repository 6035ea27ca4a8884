"""A UResNet, forward and backward: the network of Domine and Terao (arXiv:1903.05663), built from this package.

A layer takes f [N, C] and returns h with its *pullback*: the function that maps g = dL/dh to dL/df and
records the layer's own dL/dweight. Three rules combine layers, and the chain rule follows each of them backwards:

    chain     h = l_n(... l_2(l_1(f)))        dL/df = p_1(... p_{n-1}(p_n(g)))
    sum       h = a(f) + b(f)                 dL/df = p_a(g) + p_b(g)
    beside    h = [f, l(f)]                   dL/df = g_left + p(g_right)

A residual block is a sum (He et al., arXiv:1603.05027); a level of the U joins its own features to what the coarser
levels compute from them (Ronneberger et al., arXiv:1505.04597).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.convolution import convolve, convolve_backward
from sscn_ref.normalization import batch_norm_backward, batch_statistics, normalize
from sscn_ref.relation import PerAxis, output_shape
from sscn_ref.rulebook import Rulebook, strided_rulebook, submanifold_rulebook
from sscn_ref.sites import as_features, as_sites

EPS, MOMENTUM = 1e-4, 0.01

Pullback = Callable[[NDArray], NDArray]
Layer = Callable[[NDArray], tuple[NDArray, Pullback]]


def chain(*layers: Layer) -> Layer:
    """h = l_n(... l_2(l_1(f))), with the first layer applied first."""

    def layer(f: NDArray) -> tuple[NDArray, Pullback]:
        pullbacks = []
        for one in layers:
            f, pullback = one(f)
            pullbacks.append(pullback)

        def pull(g: NDArray) -> NDArray:
            for pullback in reversed(pullbacks):
                g = pullback(g)
            return g

        return f, pull

    return layer


def add(one: Layer, other: Layer) -> Layer:
    """h = one(f) + other(f)."""

    def layer(f: NDArray) -> tuple[NDArray, Pullback]:
        (h, pull_h), (z, pull_z) = one(f), other(f)
        return h + z, lambda g: pull_h(g) + pull_z(g)

    return layer


def beside(visit: Layer) -> Layer:
    """h = [f, visit(f)], joined along the channels."""

    def layer(f: NDArray) -> tuple[NDArray, Pullback]:
        h, pull = visit(f)
        width = f.shape[1]
        return np.hstack([f, h]), lambda g: g[:, :width] + pull(g[:, width:])

    return layer


class UResNet:
    """The network, with the weights of `sscn_triton.models.SparseUResNet`: its `state_dict()` as NumPy arrays.

        net = UResNet({name: value.numpy() for name, value in model.state_dict().items()})
        logits = net.forward(energies, coordinates)
        grad_energies = net.backward(grad_logits)       and net.gradients, by name

    Widths, depth and repetitions are read from the weights. The arrays are copied to `weights`, where training
    updates the running statistics as PyTorch does. Raises ValueError for a missing or an unused weight.
    """

    def __init__(self, weights: Mapping[str, ArrayLike]) -> None:
        self.weights = {name: np.array(value) for name, value in weights.items()}
        self.depth = 1 + sum(name.endswith("visit.1.weight") for name in weights)
        self.gradients: dict[str, NDArray] = {}
        self._pullback: Pullback | None = None
        self._unused: set[str] = set()

    def forward(
        self, features: ArrayLike, coordinates: ArrayLike, spatial_shape: PerAxis | None = None, training: bool = True
    ) -> NDArray[np.floating]:
        """The class scores of every site, [N, classes]: features [N, C], coordinates [N, 1 + D].

        In training, batch norm uses the statistics of these sites; otherwise the running statistics.
        """
        books = self.rulebooks(coordinates, spatial_shape)
        f = as_features(features, len(books[0].input_coordinates), "coordinates")
        self._unused = set(self.weights)
        network = chain(
            self.convolution("stem", books[0]),
            self.level("levels", books, training),
            self.batch_norm_relu("head.0", training),
            self.linear("head.1"),
        )
        if self._unused:
            raise ValueError(f"weights that no layer takes: {', '.join(sorted(self._unused))}")
        h, self._pullback = network(f)
        return h

    def backward(self, grad_logits: ArrayLike) -> NDArray[np.floating]:
        """The gradient of a loss with respect to the last forward's features, from that by its logits [N, classes].

        Afterwards `gradients` contains the gradients with respect to the weights.
        """
        if self._pullback is None:
            raise ValueError("call forward before backward")
        return self._pullback(np.asarray(grad_logits))

    def rulebooks(self, coordinates: ArrayLike, spatial_shape: PerAxis | None) -> list[Rulebook]:
        """From fine to coarse: submanifold, strided to the next level, submanifold, ..., submanifold."""
        sites, shape = as_sites(coordinates), spatial_shape
        books = [submanifold_rulebook(sites, 3)]
        for _ in range(self.depth - 1):
            down = strided_rulebook(sites, 2, 2, spatial_shape=shape)
            shape = None if shape is None else output_shape(shape, (2,) * (sites.shape[1] - 1), 2)
            sites = down.output_coordinates
            books += [down, submanifold_rulebook(sites, 3)]
        return books

    def level(self, name: str, books: list[Rulebook], training: bool) -> Layer:
        """Blocks; if there are coarser levels, a visit to them, whose result is joined to its input; blocks."""
        book, *others = books
        encoder = self.blocks(f"{name}.encoder", book, training)
        if not others:
            return encoder
        down, *coarser = others
        visit = chain(
            self.batch_norm_relu(f"{name}.visit.0", training),
            self.convolution(f"{name}.visit.1", down),
            self.level(f"{name}.visit.2", coarser, training),
            self.batch_norm_relu(f"{name}.visit.3", training),
            self.convolution(f"{name}.visit.4", down.transposed()),
        )
        return chain(encoder, beside(visit), self.blocks(f"{name}.decoder", book, training))

    def blocks(self, name: str, book: Rulebook, training: bool) -> Layer:
        """All residual blocks of `name`: f + conv(relu(bn(conv(relu(bn(f)))))), where f is multiplied by a matrix if
        the number of channels changes."""
        count = sum(key.startswith(f"{name}.") and key.endswith("branch.1.weight") for key in self.weights)
        blocks = []
        for block in (f"{name}.{number}" for number in range(count)):
            branch = chain(
                self.batch_norm_relu(f"{block}.branch.0", training),
                self.convolution(f"{block}.branch.1", book),
                self.batch_norm_relu(f"{block}.branch.2", training),
                self.convolution(f"{block}.branch.3", book),
            )
            changes = f"{block}.shortcut.weight" in self.weights
            blocks.append(add(self.linear(f"{block}.shortcut") if changes else chain(), branch))
        return chain(*blocks)

    def convolution(self, name: str, rulebook: Rulebook) -> Layer:
        """h[j] = sum over rules (i, j) of tap t of f[i] @ w[t]."""
        weight = self.take(f"{name}.weight")

        def layer(f: NDArray) -> tuple[NDArray, Pullback]:
            def pull(g: NDArray) -> NDArray:
                grad_f, self.gradients[f"{name}.weight"], _ = convolve_backward(g, f, weight, rulebook)
                return grad_f

            return convolve(f, weight, rulebook), pull

        return layer

    def linear(self, name: str) -> Layer:
        """h = f @ w^T + b; dL/df = g @ w, dL/dw = g^T @ f, dL/db = sum of g."""
        weight = self.take(f"{name}.weight")
        bias = self.take(f"{name}.bias") if f"{name}.bias" in self.weights else None

        def layer(f: NDArray) -> tuple[NDArray, Pullback]:
            def pull(g: NDArray) -> NDArray:
                self.gradients[f"{name}.weight"] = g.T @ f
                if bias is not None:
                    self.gradients[f"{name}.bias"] = g.sum(axis=0)
                return g @ weight

            return f @ weight.T + (0 if bias is None else bias), pull

        return layer

    def batch_norm_relu(self, name: str, training: bool) -> Layer:
        """h = max(0, w z + b), z = (f - mean) / sqrt(variance + eps); g counts only where h > 0.

        The running statistics do not depend on f, so with them dL/df = g w / sqrt(variance + eps).
        """
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        weight, bias, running_mean, running_variance, batches = (self.take(f"{name}.{part}") for part in parts)

        def layer(f: NDArray) -> tuple[NDArray, Pullback]:
            mean, variance = batch_statistics(f) if training else (running_mean.copy(), running_variance.copy())
            if training and len(f):
                running_mean[...] += MOMENTUM * (mean - running_mean)
                unbiased = variance * len(f) / max(len(f) - 1, 1)
                running_variance[...] += MOMENTUM * (unbiased - running_variance)
                batches[...] += 1
            h = np.maximum(normalize(f, mean, variance, weight, bias, EPS), 0)

            def pull(g: NDArray) -> NDArray:
                g = g * (h > 0)
                scale = 1 / np.sqrt(variance + EPS)
                fixed = g * weight * scale, (g * (f - mean) * scale).sum(axis=0), g.sum(axis=0)
                by_f, by_weight, by_bias = batch_norm_backward(g, f, weight, EPS) if training else fixed
                self.gradients |= {f"{name}.weight": by_weight, f"{name}.bias": by_bias}
                return by_f

            return h, pull

        return layer

    def take(self, name: str) -> NDArray:
        """Return a weight and mark it as used by a layer."""
        if name not in self.weights:
            raise ValueError(f"weights lack {name!r}")
        self._unused.discard(name)
        return self.weights[name]
