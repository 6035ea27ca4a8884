"""Names that were replaced by better ones work for one version, with a warning that gives the new name."""

from __future__ import annotations

import pytest

from sscn_triton import functional


@pytest.mark.parametrize(("old", "new"), [("Along", "Fused"), ("ALONE", "NOTHING")])
def test_an_old_name_is_the_new_one_and_warns(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(functional, old) is getattr(functional, new)
