"""
Wrong entries in a table
========================

Real tables hold text, categories and missing values, and some of their entries are wrong. Often each value is ordinary
and only the combination is not: an old car that was hardly driven, a truck that weighs a ton.
:class:`~skae.AutoEncoderOutlierDetector` takes such a table as it is, without an encoder or an imputer. It says which
rows to look at first, which of their values to doubt, and what would have been likely instead.
"""

# %%
# Used cars, read from a CSV file as yours may be. A tenth of the values is missing. In one row of thirty, one value is
# replaced by that of another car.
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skae import AutoEncoderOutlierDetector
from skae.plotting import ExplanationDisplay

rng, n = np.random.default_rng(0), 4000
cars = pd.DataFrame(
    {"kind": rng.choice(["car", "van", "truck"], n), "age": rng.integers(1, 20, n)}
)
cars["fuel"] = np.where(
    cars.kind == "truck", "diesel", rng.choice(["petrol", "diesel"], n)
)
cars.loc[(cars.kind != "truck") & (cars.age < 6) & (rng.random(n) < 0.4), "fuel"] = (
    "electric"
)
cars["tonnes"] = cars.kind.map({"car": 1.3, "van": 2.1, "truck": 7.5}) * rng.lognormal(
    0, 0.1, n
)
cars["km"] = (
    cars.age
    * cars.kind.map({"car": 12_000, "van": 20_000, "truck": 50_000})
    * rng.lognormal(0, 0.2, n)
)
cars["price"] = cars.tonnes * 20_000 * 0.85**cars.age * rng.lognormal(0, 0.2, n)

wrong = pd.DataFrame(False, cars.index, cars.columns)
for row in np.flatnonzero(rng.random(n) < 1 / 30):
    column, other = rng.choice(cars.columns), rng.integers(n)
    wrong.loc[row, column] = cars.loc[row, column] != cars.loc[other, column]
    cars.loc[row, column] = cars.loc[other, column]
missing = rng.random(cars.shape) < 0.1
wrong &= ~missing
file = io.StringIO(cars.mask(missing).to_csv(index=False, float_format="%.4g"))

table = pd.read_csv(file)
table.head()

# %%
# The detector learns from one half of the table how columns depend on each other, and looks through the other half.
# Nobody labelled anything. ``novelty=True`` is for training rows that are normal. Here a few are not, but hardly two
# are wrong in the same way, so the networks do not learn the errors.
old, new = table[:2000], table[2000:]
detector = AutoEncoderOutlierDetector(novelty=True, random_state=0).fit(old)

# %%
# How good is the order? scikit-learn's isolation forest needs the text encoded and the missing values filled in. It
# cuts one column at a time, where these values are ordinary. Not every wrong entry can be found: one van's weight is
# much like another's.
encoder = make_column_transformer(
    (OneHotEncoder(), make_column_selector(dtype_exclude="number")),
    remainder=SimpleImputer(),
)
forest = make_pipeline(encoder, IsolationForest(random_state=0)).fit(old)

y = wrong[2000:].any(axis=1)
print(f"wrong rows: {y.sum()} of {len(y)}, {y.mean():.1%}")
found = {}
for name, model in {"autoencoders": detector, "isolation forest": forest}.items():
    errors = -pd.Series(model.score_samples(new), new.index)
    found[name] = {
        "wrong among the first 20": y[errors.nlargest(20).index].sum(),
        "area under the ROC curve": roc_auc_score(y, errors),
        "average precision": average_precision_score(y, errors),
    }
print(pd.DataFrame(found).round(3))

# %%
# The five rows to look at first, and the part that each value has in the error of its row:
first = new.loc[pd.Series(detector.score_samples(new), new.index).nsmallest(5).index]
first.round(1)

# %%
detector.explain(first).round(1)

# %%
# What the networks make of these rows. A value that is far from it is suspicious. Missing values are filled in.
detector.reconstruct(first).round(1)

# %%
# The same for one row as a picture.
ExplanationDisplay.from_estimator(detector, first[:1])
plt.show()

# %%
# **Try next**: prices and kilometres vary by factors, so take their logarithm. If you know some wrong rows, let them
# set the threshold, as in :ref:`sphx_glr_auto_examples_plot_threshold.py`.
