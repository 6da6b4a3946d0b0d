"""Run the code of these pages, each page from top to bottom: ``python -m pytest docs``."""

import contextlib
import tempfile

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser


def enter_scratch_folder(namespace):
    """Give each page an empty folder, for the files that it writes."""
    stack = namespace["_stack"] = contextlib.ExitStack()
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    stack.enter_context(contextlib.chdir(folder))


def leave_scratch_folder(namespace):
    namespace["_stack"].close()


collect_ignore_glob = ["*.py", "auto_examples/*"]  # no doctests

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["_build/*", "auto_examples/*"],
    setup=enter_scratch_folder,
    teardown=leave_scratch_folder,
).pytest()
