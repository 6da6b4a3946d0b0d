"""Find wrong entries in a CSV file of text, numbers and holes, which it writes to cars.csv first, and say why."""

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

from skae import AutoEncoderOutlierDetector

rng, n = np.random.default_rng(0), 5000
cars = pd.DataFrame({"kind": rng.choice(["car", "van", "truck"], n), "colour": rng.choice(["blue", "red", "grey"], n)})
cars["tonnes"] = cars.kind.map({"car": 1.3, "van": 2.1, "truck": 3.5}) * rng.lognormal(0, 0.1, n)
wrong = rng.random(n) < 0.03
cars["kind"] = cars.kind.mask(wrong, cars.kind.map({"car": "van", "van": "truck", "truck": "car"}))
cars.mask(rng.random(cars.shape) < 0.1).to_csv("cars.csv", index=False)  # a tenth of the values is missing

train, rest, _, y = train_test_split(pd.read_csv("cars.csv"), np.where(wrong, -1, 1), test_size=0.5, random_state=0)
detector = AutoEncoderOutlierDetector(random_state=0).fit(train)  # no labels
detector.tune_threshold(rest[:1000], y[:1000])
print(classification_report(y[1000:], detector.predict(rest[1000:])))
found = rest[detector.predict(rest) == -1].head()
print(found, detector.explain(found).round(1), sep="\n")  # what each value adds to the error of its row
