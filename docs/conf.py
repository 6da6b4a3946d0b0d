"""How Sphinx builds these pages: ``python -m sphinx -W -b html docs docs/_build/html``."""

import sys
import warnings
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # mathml.py

project = "skae"
author = "the skae developers"
copyright = "2026, the skae developers"
release = version = installed_version("skae")

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "api/backreferences"]
templates_path = ["_templates"]
nitpicky = (
    False  # what torch and scikit-learn document is out of reach without a network
)

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_inherit_docstrings = False  # scikit-learn's point to labels of its own pages
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections state the types
numpydoc_show_class_members = False  # autodoc lists them already

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",
    "backreferences_dir": "api/backreferences",  # the examples that each page of the API lists
    "doc_module": ("skae",),
    "reference_url": {"skae": None},
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "show_memory": False,
    "parallel": 2,
}
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive", UserWarning)

html_math_renderer = "mathml"
# ziamath ships the one free font with a table for formulas that is on PyPI
html_static_path = [
    "_static",
    str(Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"),
]
html_css_files = ["skae.css"]
html_theme = "pydata_sphinx_theme"
html_title = f"skae {release}"
html_show_sourcelink = False
toc_object_entries_show_parents = "hide"
html_theme_options = {
    "show_toc_level": 2,
    "header_links_before_dropdown": 4,
    "show_prev_next": False,
}
html_sidebars = {
    "index": [],
    "getting_started": [],
    "choosing": [],
    "examples": [],
    "changelog": [],
}


def skip_what_scikit_learn_documents(app, what, name, obj, skip, options):
    """Leave the members that scikit-learn defines (set_output, set_fit_request, ...) to its own pages."""
    home = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    if home.partition(".")[0] in {"sklearn", "torch"}:
        return True
    return None  # as autodoc would have it


def setup(app):
    """Connect the filter above."""
    app.connect("autodoc-skip-member", skip_what_scikit_learn_documents)
