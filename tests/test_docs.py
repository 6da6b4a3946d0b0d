"""What the documentation shows works."""

import re

import numpy as np
from other_processor import rows_alike
from sklearn.utils.estimator_checks import check_estimator

import skae
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
    assert names["points"].shape == (1797, 2)
    assert set(names["search"].predict(names["X"])) == {-1, 1}
