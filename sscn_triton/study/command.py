"""`sscn study`: at laptop size, or at full size on a GPU."""

from __future__ import annotations

from sscn_triton.common.optional import require
from sscn_triton.study.config import StudyConfig


def study(config: StudyConfig) -> None:
    """Run the study at the configuration's scale and print the path of its report."""
    if config.scale == "gpu":
        from sscn_triton.study.full_size.command import study_at_scale

        assert config.minutes is not None  # StudyConfig sets it if steps is not allowed
        study_at_scale(config.out, config.minutes, config.seed, config.toy)
        return
    require("matplotlib", "plotly", "scipy", "sklearn")  # for the report at the end
    from sscn_triton.study.laptop import comparison

    print(f"report: {comparison.study(config)}")
