"""Links from scikit-learn's HTML representations to the pages of skae."""

from __future__ import annotations

import sys
from itertools import accumulate

from sklearn.base import BaseEstimator


class Documented(BaseEstimator):
    """Base of all that has a page in the API reference."""

    _doc_link_module = "skae"
    _doc_link_template = "https://skae.readthedocs.io/en/stable/api/generated/{page}.html"

    def _doc_link_url_param_generator(self):
        kind = type(self)
        modules = accumulate(kind.__module__.split("."), "{}.{}".format)
        public = next(module for module in modules if hasattr(sys.modules[module], kind.__name__))
        return {"page": f"{public}.{kind.__name__}"}
