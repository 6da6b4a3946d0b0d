"""A fit with checkpoints that `test_checkpoints.py` kills; the call is `killed_fit.py CASE FOLDER SECONDS_AN_EPOCH`."""

import sys
import time
from pathlib import Path

from sklearn.datasets import load_digits
from test_base import EveryEpoch

from skae import AdversarialAutoEncoder, AutoEncoderOutlierDetector, AutoEncoderTransformer, save
from skae.callbacks import Checkpoint
from skae.networks import ConvNetwork

X = load_digits().data[:160] / 16
SMALL = {"hidden_layer_sizes": (16,), "random_state": 0, "device": "cpu"}
CASES = {
    "dense": AutoEncoderTransformer(4, max_iter=600, **SMALL),
    "convolutional": AutoEncoderTransformer(
        4, network=ConvNetwork((1, 8, 8), channels=(4,)), max_iter=600, batch_size=40, random_state=0, device="cpu"
    ),
    "adversarial": AdversarialAutoEncoder(2, discriminator_layer_sizes=(8,), max_iter=600, batch_size=40, **SMALL),
    "bagged": AutoEncoderOutlierDetector(
        AutoEncoderTransformer(2, max_iter=120, **SMALL), n_estimators=5, random_state=0
    ),
}


class Slow(EveryEpoch):
    """Tells that a fit has begun, and lets every epoch take longer."""

    max_propagation_depth = None

    def __init__(self, seconds, begun):
        super().__init__(lambda *_: time.sleep(seconds))
        self.begun = begun

    def setup(self, estimator, context):
        self.begun.touch()


if __name__ == "__main__":
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    checkpoint = Checkpoint(folder / "fit.skae", every=3, resume=True)
    autoencoder = CASES[name].set_callbacks(checkpoint, Slow(seconds, folder / "begun"))
    save(autoencoder.fit(X), folder / "ended")
