import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer
from skae.device import device_for_scoring, free_memory, resolve_device, to_cpu

HAS_GPU = torch.cuda.is_available()


def test_auto_is_the_best_there_is():
    expected = "cuda" if HAS_GPU else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "", "mps:0", "cuda:"])
def test_an_unknown_device_is_named_with_the_remedy(name, plane):
    with pytest.raises(ValueError, match=r"device=.*(unknown|not on this machine).*Use"):
        AutoEncoderTransformer(device=name).fit(plane)


def test_a_device_that_this_machine_lacks():
    with pytest.raises(ValueError, match=r"device='cuda:99' is not on this machine.*device='auto'"):
        resolve_device("cuda:99")
    assert device_for_scoring("cuda:99") == torch.device("cpu")


def test_free_memory_is_positive():
    assert free_memory(torch.device("cpu")) > 0


def test_to_cpu_leaves_cpu_values_alone():
    module = torch.nn.Linear(2, 2)
    assert to_cpu({"a": [module, 3]})["a"] == [module, 3]


def test_a_model_of_a_missing_device_scores_on_the_cpu(plane):
    fitted = AutoEncoderTransformer(2, max_iter=2, random_state=0, device="cpu").fit(plane)
    scores = fitted.score_samples(plane)
    assert np.array_equal(fitted.set_params(device="cuda:99").score_samples(plane), scores)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA GPU")
def test_a_model_fitted_on_a_gpu_moves_by_pickle_and_by_parameter(plane):
    import pickle

    fitted = AutoEncoderTransformer(2, max_iter=20, random_state=0, device="cuda").fit(plane)
    assert next(fitted.encoder_.parameters()).device.type == "cuda"
    expected = fitted.score_samples(plane)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert next(loaded.encoder_.parameters()).device.type == "cpu"
    np.testing.assert_allclose(loaded.set_params(device="cpu").score_samples(plane), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(loaded.set_params(device="cuda").score_samples(plane), expected)
    assert next(loaded.encoder_.parameters()).device.type == "cpu"  # scoring changes nothing
