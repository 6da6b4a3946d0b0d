import logging
from contextlib import suppress

import numpy as np
import pytest
import torch

from skae import AdversarialAutoEncoder, AutoEncoderTransformer, DenoisingAutoEncoder, StackedAutoEncoder
from skae.precision import _warn_once, training_precision

CPU = torch.device("cpu")


def products_are_in_bfloat16():
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_bfloat16_is_for_products_within():
    with training_precision(CPU, "bfloat16"):
        assert products_are_in_bfloat16()
    with training_precision(CPU, "float32"):
        assert not products_are_in_bfloat16()


def test_the_callers_autocast_is_left_out():
    with torch.autocast("cpu", torch.bfloat16), training_precision(CPU, "float32"):
        assert not products_are_in_bfloat16()


def test_what_the_device_does_not_support_is_logged_once(caplog):
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="skae"):
        for _ in range(2):
            with training_precision(CPU, "tf32"):
                assert not products_are_in_bfloat16()
    assert [record.getMessage() for record in caplog.records] == [
        "precision='tf32' is not supported on cpu: training computes in float32."
    ]


@pytest.mark.parametrize("interrupted", [False, True])
def test_tf32_is_put_back(interrupted, monkeypatch):
    monkeypatch.setattr("skae.precision._supports", lambda device, precision: True)
    products = torch.backends.cuda.matmul
    earlier = products.fp32_precision
    with suppress(KeyError), training_precision(CPU, "tf32"):
        assert products.fp32_precision == "tf32"
        if interrupted:
            raise KeyError
    assert products.fp32_precision == earlier


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, StackedAutoEncoder])
def test_a_model_trained_in_bfloat16_is_a_float32_model(kind, digits):
    exact, coarse = (
        kind(8, hidden_layer_sizes=(32,), max_iter=5, precision=p, random_state=0, device="cpu").fit(digits)
        for p in ("float32", "bfloat16")
    )
    assert all(parameter.dtype == torch.float32 for parameter in coarse.encoder_.parameters())
    assert coarse.loss_curve_ != exact.loss_curve_
    assert coarse.score(digits) == pytest.approx(exact.score(digits), rel=0.1)
    assert np.isfinite(coarse.transform(digits)).all()


def test_other_precisions_are_refused(digits):
    with pytest.raises(ValueError, match="'precision' parameter"):
        AutoEncoderTransformer(precision="float16").fit(digits)


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder, AdversarialAutoEncoder])
@pytest.mark.parametrize("continued", ["partial_fit", "warm_start"])
def test_training_goes_on_in_another_precision_and_back(continued, kind, digits):
    autoencoder = kind(8, hidden_layer_sizes=(32,), max_iter=1, random_state=0, device="cpu", warm_start=True)
    train_on = autoencoder.partial_fit if continued == "partial_fit" else autoencoder.fit
    for precision in ("float32", "bfloat16", "float32", "bfloat16"):
        autoencoder.set_params(precision=precision)
        train_on(digits)
    assert autoencoder.n_iter_ == 4
    assert autoencoder.loss_curve_[-1] < autoencoder.loss_curve_[0]
    assert {parameter.dtype for parameter in autoencoder.encoder_.parameters()} == {torch.float32}
