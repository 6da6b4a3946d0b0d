import numpy as np
import pytest
import torch
from descent import descend
from torch.nn import functional as F

from skae.corruptions import Masking
from skae.interfaces import Batch, Loss, RowSummary
from skae.networks import DenseNetwork
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import RandomStreams

RAW = torch.tensor([[-3.0, 0.0, 0.5, 2.0]])
X = torch.tensor([[0.0, 1.0, 0.5, 0.25]])
DIFFERENCE = (RAW - X).abs()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squared_error", DIFFERENCE**2),
        ("absolute_error", DIFFERENCE),
        ("huber", torch.where(DIFFERENCE < 1, DIFFERENCE**2 / 2, DIFFERENCE - 0.5)),
        ("binary_cross_entropy", F.binary_cross_entropy(RAW.sigmoid(), X, reduction="none")),
    ],
)
def test_each_loss_is_its_formula(name, expected):
    torch.testing.assert_close(LOSSES[name].elementwise(RAW, X), expected)


def test_cross_entropy_stays_finite_where_the_sigmoid_saturates():
    assert LOSSES["binary_cross_entropy"].elementwise(torch.tensor([200.0]), torch.tensor([0.0])).item() == 200


def make_objective(n_members, corruption=None):
    seeds = RandomStreams(range(n_members))
    network = DenseNetwork((6,)).build(RowSummary(torch.zeros(4), 1.0), 2, seeds, False)
    return ReconstructionObjective(network, LOSSES["squared_error"], corruption)


def test_step_moves_each_member_as_if_it_were_alone():
    x = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
    batched = make_objective(3)
    losses = descend(batched, Batch(x, x), RandomStreams(range(3)))
    single = make_objective(1)  # has the seed of member 0
    loss = descend(single, Batch(x[:1], x[:1]), RandomStreams([0]))
    torch.testing.assert_close(losses[:1], loss)
    for together, alone in zip(batched.network.parameters(), single.network.parameters(), strict=True):
        torch.testing.assert_close(together[:1], alone)


def test_corruption_touches_the_input_and_not_the_target():
    x = torch.rand(1, 8, 4) + 1
    objective = make_objective(1, Masking(1.0))
    expected = (objective.network(torch.zeros_like(x)) - x).square().mean(-1)
    torch.testing.assert_close(objective.row_losses(Batch(x, x), RandomStreams([0])), expected)


def test_a_loss_without_a_gradient_of_its_own_trains_by_autograd():
    log_cosh = Loss(lambda raw, x: (raw - x).cosh().log())
    objective = ReconstructionObjective(make_objective(2).network, log_cosh)
    assert objective.network.fused_gradients(log_cosh, 1.0) is None
    x = torch.randn(2, 32, 4, generator=torch.Generator().manual_seed(0))
    losses = torch.stack([descend(objective, Batch(x, x), RandomStreams([0, 1])) for _ in range(50)])
    assert (losses[-1] < 0.9 * losses[0]).all()
    assert log_cosh.scale(0.1) == pytest.approx(np.log(np.cosh(0.1)))
