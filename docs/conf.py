"""How Sphinx builds these pages: ``python -m sphinx -W -b html docs docs/_build/html``."""

from importlib.metadata import version as installed_version

project = "skae"
author = "the skae developers"
copyright = "2026, the skae developers"
release = version = installed_version("skae")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build"]
nitpicky = False  # what torch and scikit-learn document is out of reach without a network

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_inherit_docstrings = False  # scikit-learn's point to labels of its own pages
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections state the types
autosummary_generate = False  # api.rst holds every entry itself
numpydoc_show_class_members = False  # autodoc lists them already

html_theme = "pydata_sphinx_theme"
html_title = f"skae {release}"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2}


def skip_what_scikit_learn_documents(app, what, name, obj, skip, options):
    """Leave the members that scikit-learn defines (set_output, set_fit_request, ...) to its own pages."""
    home = getattr(obj, "__module__", None) or ""
    if home.partition(".")[0] in {"sklearn", "torch"}:
        return True
    return None  # as autodoc would have it


def setup(app):
    """Connect the filter above."""
    app.connect("autodoc-skip-member", skip_what_scikit_learn_documents)
