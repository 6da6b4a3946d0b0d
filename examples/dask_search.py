"""Search, train and score on several machines. Run: python examples/dask_search.py [SCHEDULER_ADDRESS]

On each machine: dask scheduler, then dask worker ADDRESS --nthreads 1 --nworkers N. Without an address two workers are
started on this one.
"""

import sys

import dask.dataframe as dd
import joblib
from distributed import Client, LocalCluster
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoEncoderOutlierDetector, DenoisingAutoEncoder
from skae.dask import map_rows


def main(cluster):
    frame, y = load_breast_cancer(as_frame=True, return_X_y=True)
    y = y.replace(0, -1)  # malignant
    with Client(cluster):
        # a search: each fit is a task
        pipeline = make_pipeline(
            StandardScaler(),
            AutoEncoderOutlierDetector(
                DenoisingAutoEncoder(hidden_layer_sizes=(64,), random_state=0),
                novelty=True,
            ),
        )
        grid = {"autoencoderoutlierdetector__autoencoder__n_components": [4, 8, 16]}
        with joblib.parallel_config("dask"):
            search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=3).fit(frame, y)
        print(search.best_params_, f"AUROC {search.best_score_:.3f}")

        # a bag: each worker trains some of its members
        detector = AutoEncoderOutlierDetector(
            novelty=True, n_estimators=8, random_state=0
        )
        with joblib.parallel_config("dask"):
            detector.fit(frame, y)

        # scores: each worker takes the partitions it holds
        rows = dd.from_pandas(frame, npartitions=8)
        found = rows.assign(score=map_rows(detector.score_samples, rows))
        print(
            found.nsmallest(5, "score")[
                ["mean radius", "mean texture", "score"]
            ].compute()
        )


if __name__ == "__main__":  # workers import this file
    main(
        sys.argv[1]
        if sys.argv[1:]
        else LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    )
