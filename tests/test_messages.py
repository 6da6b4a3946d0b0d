"""Messages that name a few of many columns or labels say how many more there are."""

import numpy as np
import pandas as pd
import pytest

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
from skae import ConditionalVariationalAutoEncoder as Conditional
from skae.messages import listed
from skae.networks import ConvNetwork
from skae.plotting import ErrorHistogramDisplay

N_COLUMNS = 12
ROWS = np.random.default_rng(0).normal(size=(30, N_COLUMNS))
TEXT = pd.DataFrame({f"c{j}": ["a", "b", "b"] * 10 for j in range(N_COLUMNS)})
SEVEN_MORE = r"\[0, 1, 2, 3, 4\] and 7 more"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "[]"),
        (("a", 1), "['a', 1]"),
        (np.arange(5), "[0, 1, 2, 3, 4]"),
        (np.arange(6.0), "[0.0, 1.0, 2.0, 3.0, 4.0] and 1 more"),
        (np.array(list("abcdefgh")), "['a', 'b', 'c', 'd', 'e'] and 3 more"),
        (pd.unique(pd.Series(range(12), dtype="Int64")), "[0, 1, 2, 3, 4] and 7 more"),
    ],
)
def test_the_first_five_and_how_many_more(values, said):
    assert listed(values) == said


def test_columns():
    for estimator in (AutoEncoderTransformer(2), AutoEncoderOutlierDetector()):
        with pytest.raises(ValueError, match=f"Columns {SEVEN_MORE} of X hold infinity"):
            estimator.fit(np.full_like(ROWS, np.inf))
        with pytest.raises(ValueError, match=f"Columns {SEVEN_MORE} of X are empty throughout"):
            estimator.fit(np.full_like(ROWS, np.nan))
    with pytest.raises(ValueError, match=r"Columns \['c0', 'c1', 'c2', 'c3', 'c4'\] and 7 more of X are categories"):
        AutoEncoderTransformer(2, network=ConvNetwork((3, 4))).fit(TEXT)
    with pytest.raises(ValueError, match=r"X has no columns \['d0', 'd1', 'd2', 'd3', 'd4'\] and 7 more"):
        AutoEncoderTransformer(2, categorical_features=[f"d{j}" for j in range(N_COLUMNS)]).fit(TEXT)
    with pytest.warns(UserWarning, match=f"Columns {SEVEN_MORE} of X vary too little"):
        AutoEncoderTransformer(2, max_iter=1).fit(ROWS + 1e9)


def test_labels():
    y = np.arange(30) % N_COLUMNS
    with pytest.warns(UserWarning, match=f"y has the labels {SEVEN_MORE} and no -1"):
        detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(2, max_iter=1), novelty=True).fit(ROWS, y)
    with pytest.raises(ValueError, match=f"y holds {SEVEN_MORE}"):
        detector.tune_threshold(ROWS, y)
    with pytest.raises(ValueError, match=f"y has the labels {SEVEN_MORE}"):
        ErrorHistogramDisplay.from_estimator(detector, ROWS, y)
    conditional = Conditional(2, hidden_layer_sizes=(4,), max_iter=1).fit(ROWS, y)
    with pytest.raises(ValueError, match=f"y has classes .12, 13, 14, 15, 16. and 7 more .* classes_={SEVEN_MORE}"):
        conditional.partial_fit(ROWS, y + N_COLUMNS)
