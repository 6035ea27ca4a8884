"""The page "Your own network": its code runs in the order of the page, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "book" / "own_network.md").read_text()
BLOCKS = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
PROCESS = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
"""What torchrun tells a process, here the only one; port 0 is any free port."""
CLAIMS = {
    "voxelise points": "len(kept) == len(limited.inverse) < 900 and limited.tensor.spatial_shape == (25, 25, 25)",
    "make a batch": "x.batch_size == 4 and len(third) == (x.coordinates[:, 0] == 2).sum()",
    "apply a function": "y.grid is x.grid and y.features.shape == (len(x), 8)",
    "halve the resolution": "len(coarse) < len(y)",
    "join a skip": "joined.features.shape == (len(y), 16) and total.features.shape == (len(y), 8)",
    "pool over each sample": "means.shape == largest.shape == (4, 8)",
    "grow new sites": "0 < len(pruned) < len(grown) > len(y)",
    "bring features to points": "len(at_points) == len(anywhere) == len(found) == 900 and len(rows) == 1",
    "crop": "0 < len(cropped) < len(x) and cropped.coordinates[:, 1:].amax() < 25",
    "augment": "torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-5) and moved.shape == points.shape",
    "get the rulebook": "len(rulebook.pairs()) == 27 and len(inputs)",
    "convert to a dense": "image.shape == (4, 1, 48, 48, 48) and len(SparseTensor.from_dense(image)) == len(x)",
    "take weights": "torch.equal(sparse.weight[0, 0, 0], dense.weight[:, 0, 0, 0, 0])",
    "compute in mixed": "half.dtype == torch.bfloat16",
    "train on several": "loss.requires_grad",
    "save memory": "len(small) == len(x) and not any('Norm' in type(m).__name__ for m in fast.modules())",
    "save a tensor": "torch.equal(stored.features, x.features)",
}
"""By the beginning of its question, what an answer of the gallery must result in."""


class Ran(NamedTuple):
    """The names that the code defined, and the lines it printed beside those that the page shows."""

    scope: dict[str, Any]
    printed: list[str]
    shown: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Ran:
    """The page's code, run by one thread: more would wait for each other in networks as small as these."""
    pytest.importorskip("lightning")
    pytest.importorskip("sklearn")
    scope: dict[str, Any] = {"print": lambda *words: printed.append(" ".join(map(str, words)))}
    printed: list[str] = []
    shown: list[str] = []
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("own_network"))
        for name, value in PROCESS.items():
            patch.setenv(name, value)
        torch.set_num_threads(1)
        try:
            for kind, text in BLOCKS.findall(PAGE):
                if kind == "python":
                    exec(compile(text, "own_network.md", "exec"), scope)
                else:
                    shown += text.splitlines()
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            torch.set_num_threads(threads)
    return Ran(scope, printed, shown)


def test_the_code_prints_what_the_page_shows(ran):
    """Rounding differs between processors, and changes the accuracies by a few percent."""
    assert [re.sub(r"\d+%", "%", line) for line in ran.printed] == [re.sub(r"\d+%", "%", line) for line in ran.shown]
    for line, expected in zip(ran.printed, ran.shown, strict=True):
        (share,), (wanted,) = re.findall(r"(\d+)%", line), re.findall(r"(\d+)%", expected)
        assert abs(int(share) - int(wanted)) <= 5, line


def test_the_first_example_has_about_seventy_lines():
    first = PAGE[: PAGE.index("\n## Images")]
    (data,) = re.findall(r"def scene.*?\n(?=```)", first, re.DOTALL)
    code = "".join(text for kind, text in BLOCKS.findall(first) if kind == "python").replace(data, "")
    assert 60 <= sum(bool(line) for line in code.splitlines()) <= 80


def test_every_answer_of_the_gallery_is_right(ran):
    questions = re.findall(r"^### \.\.\. (.+)$", PAGE, re.MULTILINE)
    assert len(questions) == len(CLAIMS)
    for question, (beginning, claim) in zip(questions, CLAIMS.items(), strict=True):
        assert question.startswith(beginning)
        assert eval(claim, ran.scope), question


def test_answers_of_the_gallery_have_at_most_three_lines():
    gallery = PAGE[PAGE.index("\n## How do I") :]
    assert [text for kind, text in BLOCKS.findall(gallery) if text.count("\n") > 3] == []
