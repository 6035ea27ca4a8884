"""The meter of the puzzles counts accesses of kernels, and stops those outside of every tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tutorial.test_exercises import TUTORIAL, Exercise, written


@pytest.fixture(autouse=True)
def the_notebooks_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TUTORIAL))


def kernel(body: str) -> Any:
    text = f"@triton.jit\ndef kernel(y, n, BLOCK: tl.constexpr):\n    i = tl.arange(0, BLOCK)\n    {body}\n"
    return written(Exercise("", "kernel", {}), text)


class TestMeter:
    @pytest.mark.parametrize("body", ["tl.atomic_add(y + i, 1.0, mask=i < n)", "tl.atomic_max(y + i, 1.0, mask=i < n)"])
    def test_an_atomic_operation_is_a_load_and_a_store(self, body):
        add = kernel(body)
        from meter import metered

        y = torch.zeros(5)
        with metered(y) as meter:
            add[(2,)](y, 5, BLOCK=8)
        assert (meter.loads, meter.stores) == (10, 10)
        assert meter.stored(y).tolist() == [2] * 5

    @pytest.mark.parametrize("body", ["tl.atomic_add(y + i, 1.0)", "tl.atomic_cas(y + i, 0.0, 1.0)", "tl.load(y + i)"])
    def test_an_operation_outside_of_every_tensor_names_its_program(self, body):
        outside = kernel(body)
        from meter import metered

        buffer = torch.zeros(8)
        with metered(buffer[:5]), pytest.raises(Exception, match=r"program 0: 3 .* addresses outside every tensor"):
            outside[(1,)](buffer[:5], 5, BLOCK=8)
        assert not buffer.any()

    @pytest.mark.parametrize(("kind", "value"), [(torch.float32, np.nan), (torch.int32, 1 << 20), (torch.int8, 127)])
    def test_a_masked_load_without_other_is_undefined(self, kind, value):
        copied = kernel("tl.store(y + i, tl.load(y + i, mask=i < n))")
        from meter import metered

        y = torch.zeros(8, dtype=kind)
        with metered(y):
            copied[(1,)](y, 5, BLOCK=8)
        np.testing.assert_array_equal(y.numpy(), [0] * 5 + [value] * 3)
