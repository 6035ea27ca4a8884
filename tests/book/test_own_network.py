"""The page "Your own network": its code runs in the order of the page, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "book" / "own_network.md").read_text()
BLOCKS = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


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
        torch.set_num_threads(1)
        try:
            for kind, text in BLOCKS.findall(PAGE):
                if kind == "python":
                    exec(compile(text, "own_network.md", "exec"), scope)
                else:
                    shown += text.splitlines()
        finally:
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
