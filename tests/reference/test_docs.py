"""The reference's documentation is true: its examples run, and its Numba twins have the same signatures."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import sscn_ref
from sscn_ref import jit

MODULES = [f"sscn_ref.{module.name}" for module in pkgutil.iter_modules(sscn_ref.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run_as_printed(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", jit.__all__)
def test_the_numba_twin_has_the_same_name_and_signature(name: str) -> None:
    assert inspect.signature(getattr(jit, name)) == inspect.signature(getattr(sscn_ref, name))


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_stay_short(name: str) -> None:
    """A file has fewer than 300 lines, and a function has at most the 40 lines of a screen."""
    module = importlib.import_module(name)
    assert len(inspect.getsource(module).splitlines()) < 300
    for _, thing in inspect.getmembers(module, inspect.isfunction):
        if thing.__module__ == name:
            assert len(inspect.getsource(thing).splitlines()) <= 40, thing
