"""Two functions are taken for one only where that is sure."""

import functools
import json
import os
import subprocess
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

import skae
from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    DenoisingAutoEncoder,
)
from skae.estimators.fit_key import cache_key, fit_key
from skae.model_selection import BatchedGridSearchCV

X = np.random.default_rng(0).normal(size=(60, 5))


def key(function):
    return cache_key(AutoEncoderTransformer(2, network=function))


def defined(code, name="module", **names):
    """Return the function f that some code defines in a module of its own."""
    names = {"__name__": name, **names}
    exec(code, names)
    return names["f"]


def enclosing(value):
    return lambda: value


def with_default(value):
    return lambda default=value: default


def with_keyword(value):
    def f(*, keyword=value):
        return keyword

    return f


def with_attribute(value):
    def f():
        return f.value

    f.value = value
    return f


def recursive(value):
    def f(n):
        return f(n - 1) if n else value

    return f


def mutual(value):
    def f(n):
        return g(n)

    def g(n):
        return f(n - 1) + value

    return f


class Callable:
    def __init__(self, value):
        self.value = value

    def __call__(self):
        return self.value

    def method(self):
        return self.value


def of_class(value):
    class Local:
        def __call__(self):
            return value

        @classmethod
        def method(cls):
            return value

    return Local


reads = functools.partial(defined, "def f(): return W")
calls = functools.partial(defined, "def g(): return W\ndef f(): return g()")
nests = functools.partial(defined, "def f():\n    def g(): return W\n    return g()")
in_class = functools.partial(defined, "def f():\n    class C:\n        w = W\n    return C()")
by_name = functools.partial(defined, "def f(): return globals()['W']")
evaluated = functools.partial(defined, "def f(): return eval('W')")
one, two = (lambda: 1), (lambda: 2)  # fmt: skip

RETURNS_1, RETURNS_2 = "def f(): return 1", "def f(): return 2"
DIFFERENT = {
    "lambdas on one line": (one, two),
    "constants that are equal": (lambda: 1, lambda: True),
    "zeros": (lambda: 0.0, lambda: -0.0),
    "nested lambdas": (lambda: lambda: 1, lambda: lambda: 2),
    "keyword-only defaults": (with_keyword(1), with_keyword(2)),
    "defaults": (with_default(1), with_default(2)),
    "array defaults": (with_default(np.zeros(3)), with_default(np.ones(3))),
    "array types": (with_default(np.float32([1])), with_default(np.float64([1]))),
    "masked arrays": (with_default(np.ma.array([1, 2], mask=[0, 1])), with_default(np.ma.array([1, 2], mask=[1, 0]))),
    "object arrays": (with_default(np.array([one], object)), with_default(np.array([two], object))),
    "tensors": (with_default(torch.zeros(1)), with_default(torch.ones(1))),
    "closures": (enclosing(1), enclosing(2)),
    "enclosed functions": (enclosing(one), enclosing(two)),
    "enclosed lists": (enclosing([1, [2]]), enclosing([1, [3]])),
    "default factories": (enclosing(defaultdict(one)), enclosing(defaultdict(two))),
    "attributes": (with_attribute(1), with_attribute(2)),
    "globals": (reads(W=1), reads(W=2)),
    "globals of called functions": (calls(W=1), calls(W=2)),
    "globals of nested functions": (nests(W=1), nests(W=2)),
    "globals of nested classes": (in_class(W=1), in_class(W=2)),
    "globals by name": (by_name(W=1), by_name(W=2)),
    "evaluated globals": (evaluated(W=1), evaluated(W=2)),
    "modules": (reads(W=types.ModuleType("own")), reads(W=types.ModuleType("own"))),
    "in __main__": (reads(name="__main__", W=1), reads(name="__main__", W=2)),
    "in a module named like a package": (defined(RETURNS_1, "torch.own"), defined(RETURNS_2, "torch.own")),
    "in a module named like Python's": (defined(RETURNS_1, "code"), defined(RETURNS_2, "code")),
    "builtins": (
        defined("def f(): return own()", __builtins__={"own": one}),
        defined("def f(): return own()", __builtins__={"own": two}),
    ),
    "recursive": (recursive(1), recursive(2)),
    "mutually recursive": (mutual(1), mutual(2)),
    "partial": (functools.partial(one, 1), functools.partial(one, 2)),
    "partial keywords": (functools.partial(one, a=1), functools.partial(one, a=2)),
    "partial of lambdas": (functools.partial(one), functools.partial(two)),
    "caches": (functools.lru_cache(one), functools.lru_cache(two)),
    "wrapped": (functools.wraps(one)(enclosing(1)), functools.wraps(one)(enclosing(2))),
    "callable objects": (Callable(1), Callable(2)),
    "methods": (Callable(1).method, Callable(2).method),
    "class methods": (of_class(1).method, of_class(2).method),
    "objects of local classes": (of_class(1)(), of_class(2)()),
    "methods of built-in types": ({1: 2}.get, {1: 3}.get),
    "vectorized": (np.vectorize(one), np.vectorize(two)),
}  # fmt: skip


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_other_functions_are_never_the_same(pair):
    first, second = (key(function) for function in pair)
    assert first is None or first != second
    assert fit_key(AutoEncoderTransformer(network=pair[0])) != fit_key(AutoEncoderTransformer(network=pair[1]))


@pytest.mark.parametrize(
    "make", [enclosing, with_default, with_keyword, with_attribute, recursive, mutual, lambda w: reads(W=w)]
)
@pytest.mark.parametrize("value", [1, "a", (1.5, None), {"a": [1]}, np.arange(3)], ids=str)
def test_the_same_code_on_the_same_data_is_the_same(make, value):
    assert key(make(value)) == key(make(value)) is not None


@pytest.mark.parametrize("parameter", ["prior", "corruption"])
def test_other_parameters_are_functions_too(parameter):
    make = AdversarialAutoEncoder if parameter == "prior" else DenoisingAutoEncoder
    assert cache_key(make(**{parameter: one})) != cache_key(make(**{parameter: two}))


def test_what_holds_itself_or_nothing_is_not_sure():
    items, names = [], {}
    items.append(items)
    names["itself"] = names

    def empty():
        return later

    assert [key(enclosing(items)), key(enclosing(names)), key(empty)] == [None] * 3
    later = 1


def test_a_class_of_ones_own_is_not_sure():
    class Own(AutoEncoderTransformer):
        pass

    assert cache_key(Own(2)) is None
    assert cache_key(AutoEncoderTransformer(2)) is not None


def test_keys_are_the_same_in_another_process(tmp_path):
    code = (
        "from torch import nn; import numpy as np; from skae import AutoEncoderTransformer as A\n"
        "from skae.estimators.fit_key import cache_key\n"
        "W = {'width': 4}\n"
        "def f(n, k, *, scale=np.float32(2)): return nn.Linear(n, W['width']), n in {'a', 'b', 'c'}\n"
        "print(repr(cache_key(A(network=f))))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(skae.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    answers = {subprocess.check_output(command, cwd=tmp_path, env=environment, text=True).strip() for _ in range(2)}
    assert len(answers) == 1
    assert json.loads(answers.pop().replace("'", '"'))  # a string, not None


# ---- nobody gets another one's model -----------------------------------------------------------------------


def network(width):
    return lambda n, k: (nn.Sequential(nn.Linear(n, width), nn.Linear(width, k)), nn.Linear(k, n))


def narrow_and_wide():
    makes = [lambda n, k: (nn.Linear(n, k), nn.Linear(k, n)), lambda n, k: (nn.Sequential(nn.Linear(n, 9), nn.Linear(9, k)), nn.Linear(k, n))]  # fmt: skip # noqa: E501
    objects = [Build(3), Build(9)]
    keywords = [functools.partial(build, width=width) for width in (3, 9)]
    return [makes, [network(3), network(9)], objects, [b.make for b in objects], keywords, of_globals()]


def of_globals():
    code = "def f(n, k): return nn.Sequential(nn.Linear(n, W), nn.Linear(W, k)), nn.Linear(k, n)"
    return [defined(code, nn=nn, W=width) for width in (3, 9)]


def build(n, k, *, width):
    return network(width)(n, k)


class Build:
    def __init__(self, width):
        self.width = width

    def __call__(self, n, k):
        return network(self.width)(n, k)

    def make(self, n, k):
        return network(self.width)(n, k)


def plain(function):
    return AutoEncoderTransformer(2, network=function, max_iter=2, random_state=0)


@pytest.mark.parametrize(
    "pair", narrow_and_wide(), ids=["lambdas", "closures", "objects", "methods", "partial", "globals"]
)
def test_memory_and_searches_keep_them_apart(pair, tmp_path):
    expected = [plain(function).fit(X).score_samples(X) for function in pair]
    assert not np.allclose(*expected)

    def close(found, i):  # blocks may be rounded otherwise
        np.testing.assert_allclose(found.score_samples(X), expected[i], rtol=1e-3)

    detector = AutoEncoderOutlierDetector(memory=str(tmp_path))
    for _ in range(2):  # trained, then from the cache
        for i, function in enumerate(pair):
            close(clone(detector).set_params(autoencoder=plain(function)).fit(X), i)
    for make in (GridSearchCV, BatchedGridSearchCV):
        for estimator, grid in ((plain(None), "network"), (detector, "autoencoder__network")):
            if estimator is detector:
                estimator = clone(detector).set_params(autoencoder=plain(None))
            scoring = lambda fitted, rows, y=None: fitted.score_samples(X).mean()  # noqa: E731
            found = make(estimator, {grid: pair}, scoring=scoring, cv=[(np.arange(60), np.arange(60))]).fit(X)
            means = [scores.mean() for scores in expected]
            np.testing.assert_allclose(found.cv_results_["mean_test_score"], means, rtol=1e-3)
