"""What the documentation shows works."""

import inspect
import pkgutil
import re

import numpy as np
import pytest
from other_processor import rows_alike
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

import skae.callbacks
import skae.plotting
from conftest import ROOT
from skae import AutoEncoderTransformer


def python_blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_an_objective_of_ones_own(digits, tmp_path, monkeypatch):
    (code,) = python_blocks("docs/extending.md")
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    (tmp_path / "own_objective.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from own_objective import DecorrelatingAutoEncoder

    def off_diagonal(autoencoder):
        covariance = np.cov(autoencoder.fit(digits).transform(digits).T)
        return np.abs(covariance - np.diag(np.diag(covariance))).max()

    settings = {"max_iter": 30, "random_state": 0}
    assert off_diagonal(DecorrelatingAutoEncoder(4, **settings)) < 0.2 * off_diagonal(
        AutoEncoderTransformer(4, **settings)
    )
    with rows_alike():
        check_estimator(DecorrelatingAutoEncoder(2, max_iter=3))


def test_the_figure_of_choosing_leads_to_every_autoencoder():
    figure = (ROOT / "docs" / "images" / "choosing.svg").read_text()  # Sphinx does not check links of raw HTML
    pages = re.findall(r'href="api/generated/skae\.(\w+)\.html"', figure)
    assert figure.count("href=") == len(pages)
    assert sorted(pages) == sorted(name for name in skae.__all__ if name[0].isupper())


def test_every_promise_has_its_test():
    page = (ROOT / "docs" / "reliability.md").read_text()
    promises = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(promises) > 40
    for line in promises:
        named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", line)
        assert named or "benchmarks/" in line, line
        for file, test in named:
            code = (ROOT / "tests" / file).read_text()
            assert f"def {test}(" in code if test else code, f"{file} has no {test}"


def test_the_readmes_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in python_blocks("README.md"):
        exec(code, names)
    assert set(names["detector"].predict(names["X_rest"])) == {-1, 1}


def test_the_readmes_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert len(links) > 15
    assert not [link for link in links if not (ROOT / link).exists()]


def test_pages_of_the_guide_are_short():
    pages = {page.name: len(page.read_text().split()) for page in (ROOT / "docs" / "guide").glob("*.md")}
    assert len(pages) > 15
    assert max(pages.values()) <= 1200, pages


PUBLIC = [
    *(f"skae.{name}" for name in skae.__all__),
    *(f"skae.plotting.{name}" for name in skae.plotting.__all__),
    *(f"skae.callbacks.{name}" for name in skae.callbacks.__all__),
    *(f"skae.networks.{name}" for name in ("ConvNetwork", "DenseNetwork", "LSTMNetwork", "MemoryNetwork")),
    "skae.model_selection.BatchedGridSearchCV",
    "skae.distributed.data_parallel",
    "skae.dask.map_rows",
    "skae.persistence.register_with_skops",
    "skae.persistence.ArtifactError",
    "skae.estimators.BaseAutoEncoder",
    "skae.interfaces.Objective",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_a_page_with_an_example(name):
    page = (ROOT / "docs" / "api" / "index.rst").read_text()
    assert f"   {name.removeprefix('skae.')}\n" in page
    assert ">>>" in inspect.getdoc(pkgutil.resolve_name(name))


def with_parameters(name):
    found = pkgutil.resolve_name(name)
    return isinstance(found, type) and issubclass(found, BaseEstimator) and found is not skae.estimators.BaseAutoEncoder


@pytest.mark.parametrize("name", [name for name in PUBLIC if with_parameters(name)])
def test_html_representations_link_to_that_page_and_describe_each_parameter(name):
    kind = pkgutil.resolve_name(name)
    searched = (skae.AutoEncoderTransformer(), {}) if issubclass(kind, GridSearchCV) else ()
    shape = {"ConvNetwork": ((1, 8, 8),), "LSTMNetwork": ((8, 1),)}.get(kind.__name__, ())
    estimator = kind(*searched, *shape)
    assert estimator._get_doc_link().endswith(f"/api/generated/{name}.html")
    described = re.findall(r'param-doc-description"[^>]*>\s*(\w+):', estimator._repr_html_())
    assert set(described) >= set(estimator.get_params(deep=False))
