"""Train one autoencoder in several processes, each on rows of its own.

Run: torchrun --nproc-per-node 2 examples/data_parallel.py

On several machines torchrun is started on each, with the address of the first: torchrun --nnodes 2 --nproc-per-node 2
--rdzv-backend c10d --rdzv-endpoint HOST:29500 examples/data_parallel.py
"""

from pathlib import Path

from sklearn.datasets import load_digits

import skae
from skae.distributed import data_parallel

X, _ = load_digits(return_X_y=True)
X = X / 16

with data_parallel() as processes:
    own = X[processes.rank :: processes.size]  # elsewhere the file of this process
    detector = skae.AutoEncoderOutlierDetector(
        skae.DenoisingAutoEncoder(16, max_iter=20, random_state=0),
        novelty=True,
        random_state=0,
    ).fit(own)

print(
    f"Process {processes.rank} of {processes.size}: {len(own)} rows, threshold {detector.threshold_:.6f}"
)
if processes.rank == 0:
    folder = Path(__file__).parent / "output"
    folder.mkdir(exist_ok=True)
    skae.save(detector, folder / "digits.skae")
    print(skae.load(folder / "digits.skae").predict(X[:5]))
