"""Write the files of this release that every later one must load: python tests/stored_files.py."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

import skae
from skae.networks import ConvNetwork, LSTMNetwork

FOLDER = Path(__file__).parent / "files"
T = np.linspace(0, 1, 40)
NUMBERS = 0.5 + 0.5 * np.sin(np.outer(T, np.arange(1, 17)))  # (40, 16), in [0, 1]
LABELS = np.where(T < 0.5, "early", "late")
TABLE = pd.DataFrame(
    {
        "number": np.where(np.arange(40) % 9 == 4, np.nan, NUMBERS[:, 1]),
        "integer": np.arange(40) % 5,
        "text": pd.Series(LABELS, dtype=object),
        "category": pd.Categorical.from_codes(np.arange(40) % 3, pd.Index(["lo", "mid", "hi"], dtype=object)),
        "flag": np.arange(40) % 7 < 3,
    }
)
ROWS = {"numbers": NUMBERS, "table": TABLE}
SMALL = {"max_iter": 5, "random_state": 0}
ESTIMATORS = {
    "plain": (skae.AutoEncoderTransformer(2, hidden_layer_sizes=(8,), **SMALL), "numbers"),
    "convolutional": (skae.AutoEncoderTransformer(2, network=ConvNetwork((1, 4, 4), (3,)), **SMALL), "numbers"),
    "recurrent": (skae.DenoisingAutoEncoder(2, network=LSTMNetwork((16, 1), 4), **SMALL), "numbers"),
    "conditional": (skae.ConditionalVariationalAutoEncoder(2, hidden_layer_sizes=(8,), **SMALL), "numbers"),
    "table": (skae.VariationalAutoEncoder(2, hidden_layer_sizes=(8,), **SMALL), "table"),
    "detector": (skae.AutoEncoderOutlierDetector(n_estimators=4, random_state=0), "table"),
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, (estimator, rows) in ESTIMATORS.items():
        path = FOLDER / f"{name}-{skae.__version__}.skae"
        fitted = estimator.fit(ROWS[rows], LABELS)
        skae.save(fitted, path)
        scores = fitted.score_samples(ROWS[rows]).tolist()
        path.with_suffix(".json").write_text(json.dumps({"rows": rows, "scores": scores}) + "\n")
        print(path.name, path.stat().st_size)
