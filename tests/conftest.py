"""Hypothesis profiles: the default draws the same cases every time; "deep" (`make test-deep`) many more, new ones.
Where the real events are. And that Triton interprets its kernels, which it must know before it is imported."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(scope="session")
def real_file() -> Path:
    """The five real events; the folder they are in is named by the environment variable SSCN_DATA."""
    folder = os.environ.get("SSCN_DATA")
    if not folder:
        pytest.skip("SSCN_DATA is not set: it names the folder of small_192px.root, the real events")
    path = Path(folder) / "small_192px.root"
    if not path.is_file():
        pytest.skip(f"SSCN_DATA={folder} holds no small_192px.root")
    return path


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Interpreted kernels are slow: the suite over all engines leaves them to `make test-deep`; the default run has
    test_triton.py. On a GPU, with TRITON_INTERPRET=0, they are compiled and quick enough."""
    if os.environ["TRITON_INTERPRET"] != "1":
        return
    for item in items:
        engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")
        if getattr(engine, "name", "") == "triton" and item.path.name != "test_triton.py":
            item.add_marker("deep")
