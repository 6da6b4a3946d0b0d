"""The one training loop, the same for every autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skae._compat import limit_to_one_thread
from skae.interfaces import BeginEpoch, Objective
from skae.random import RandomStreams, derived_seeds
from skae.training.rows import Rows
from skae.training.schedule import Schedule
from skae.training.steps import AdamW, make_step

SHUFFLING, NOISE, VALIDATION_NOISE = range(3)
SHARED_MATMUL_SIZE = 2**20  # multiplications; fewer take longer to share among threads than to do


class BestWeights(NamedTuple):
    """Each member's weights after the epoch with its lowest monitored loss."""

    losses: np.ndarray  # (K,)
    epoch: int  # of the last new low, counted from 1
    weights: dict[str, Tensor]

    def restore(self, module: nn.Module) -> None:
        """Put the weights back."""
        module.load_state_dict(self.weights)


@dataclass
class History:
    """What happened, epoch by epoch; filled while training runs, so that an interrupted fit has it too.

    Each change is one assignment: an interrupt comes before or after it.
    """

    epochs: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)  # training and held-out losses
    best: BestWeights | None = None
    optimizer_states: list[list[Tensor]] = field(default_factory=list)

    @property
    def losses(self) -> list[np.ndarray]:
        """Training losses of each epoch, (K,) each."""
        return [losses for losses, _ in self.epochs]

    @property
    def validation_losses(self) -> list[np.ndarray]:
        """Held-out losses of each epoch, (K,) each; empty where no rows are held out."""
        return [losses for _, losses in self.epochs if losses is not None]

    def of_member(self, k: int) -> History:
        """Return the losses of one member of several."""
        own = History([(losses[k : k + 1], None) for losses in self.losses])
        own.best = BestWeights(own.losses[-1], 1 + int(np.argmin(own.losses)), {})
        return own

    def add(self, losses: np.ndarray, validation_losses: np.ndarray | None, module: nn.Module) -> None:
        """Add an epoch, and keep the weights of the members whose monitored loss is a new low."""
        monitored = losses if validation_losses is None else validation_losses
        self.epochs.append((losses, validation_losses))
        earlier, state = self.best, module.state_dict()
        if earlier is None or (better := monitored < earlier.losses).all():
            weights = {name: tensor.clone() for name, tensor in state.items()}
            self.best = BestWeights(monitored, len(self.epochs), weights)
        elif better.any():
            members = torch.from_numpy(better)
            weights = {
                name: torch.where(members.to(t.device).view(-1, *[1] * (t.ndim - 1)), t, earlier.weights[name])
                for name, t in state.items()
            }
            self.best = BestWeights(np.where(better, monitored, earlier.losses), len(self.epochs), weights)


def train(
    objective: Objective,
    rows: Rows,
    index: Tensor,
    schedule: Schedule,
    seeds: Sequence[int],
    *,
    history: History,
    validation_index: Tensor | None = None,
    first_epoch: int = 0,
    begin_epoch: BeginEpoch | None = None,
    verbose: bool = False,
) -> None:
    """Train an objective, whose network is on the device of ``rows``; ``history`` is filled in.

    Each member trains on its rows of ``index``, (K, n), and draws random numbers from its seed. The optimizer states of
    ``history``, where it has any, are continued. With a ``validation_index``, (K, m), the loss of these rows is
    monitored instead of the training loss, and the weights with the lowest are restored. ``first_epoch`` is the number
    of epochs that earlier calls have run, so that other random numbers are drawn.

    A loss that is not finite raises a FloatingPointError. After any exception ``history.best`` has the best weights so
    far.
    """
    n = index.shape[1]
    optimizers = [AdamW(schedule.learning_rate_init, schedule.alpha, **group) for group in objective.parameter_groups()]
    for optimizer, state in zip(optimizers, history.optimizer_states, strict=False):
        optimizer.continue_from(state)
    step = make_step(objective, optimizers, rows.device)
    is_small = objective.network.max_matmul_size(schedule.batch_size) < SHARED_MATMUL_SIZE
    stall = _Stall(schedule, len(index))

    def streams(purpose: int, epoch: int) -> RandomStreams:
        return RandomStreams([derived_seeds(seed, purpose, epoch)[0] for seed in seeds], rows.device)

    def train_epoch(epoch: int) -> np.ndarray:  # each member's mean loss, (K,)
        objective.network.train()
        shuffled = index.gather(1, streams(SHUFFLING, epoch).permutation(n))
        batches = rows.batches(shuffled, schedule.batch_size)
        rates = schedule.rates(epoch - first_epoch, -(-n // schedule.batch_size), stall.n_reductions)
        noise = streams(NOISE, epoch)
        total = torch.zeros(len(index), device=rows.device, dtype=torch.float32)
        for batch, rate in zip(batches, rates, strict=True):
            for optimizer in optimizers:
                optimizer.set_rate(rate)
            total.add_(step(batch, noise), alpha=batch.x.shape[1])
        return (total / n).cpu().double().numpy()  # the epoch's only synchronisation

    try:
        for epoch in range(first_epoch, first_epoch + schedule.max_iter):
            end_epoch = None if begin_epoch is None else begin_epoch()
            losses = limit_to_one_thread(train_epoch, epoch) if is_small else train_epoch(epoch)
            held_out = None
            if validation_index is not None:
                # the same noise every epoch, so that epochs can be compared
                noise = streams(VALIDATION_NOISE, 0)
                held_out = _mean_loss(objective, rows, validation_index, schedule.batch_size, noise)
            monitored = losses if held_out is None else held_out
            if not (np.isfinite(losses).all() and np.isfinite(monitored).all()):
                raise FloatingPointError(
                    f"The training loss is not finite in epoch {epoch + 1}: training has diverged. Scale the "
                    f"columns of X (StandardScaler) or lower learning_rate_init={max(schedule.learning_rate_init)}."
                )
            history.add(losses, held_out, objective.network)
            if verbose:
                monitor = "" if held_out is None else f", validation loss {held_out.mean():.6g}"
                print(f"Epoch {epoch + 1}: loss {losses.mean():.6g}{monitor}")
            if (end_epoch is not None and end_epoch()) or stall.ends_training(monitored):
                break
    finally:
        objective.network.eval()
        for optimizer in optimizers:
            optimizer.zero_grad()
    if validation_index is not None and history.best is not None:
        history.best.restore(objective.network)
    history.optimizer_states = [optimizer.state() for optimizer in optimizers]


class _Stall:
    """Whether the monitored loss has stalled, and what follows."""

    def __init__(self, schedule: Schedule, n_members: int):
        self._schedule = schedule
        self._lowest, self._n_stalled = np.full(n_members, np.inf), 0
        self.n_reductions = 0  # of an adaptive learning rate

    def ends_training(self, monitored: np.ndarray) -> bool:
        """Add the monitored losses of an epoch, (K,); return whether training ends."""
        schedule, lowest = self._schedule, self._lowest
        improved = monitored < lowest - schedule.tol * np.where(np.isfinite(lowest), np.abs(lowest), 0)
        self._lowest = np.where(improved, monitored, lowest)
        self._n_stalled = 0 if improved.any() else self._n_stalled + 1
        if self._n_stalled < schedule.n_iter_no_change:
            return False
        if schedule.learning_rate == "adaptive" and self.n_reductions < schedule.max_reductions:
            self._n_stalled, self.n_reductions = 0, self.n_reductions + 1
            return False
        return schedule.stops_on_stall


@torch.no_grad()
def _mean_loss(objective: Objective, rows: Rows, index: Tensor, batch_size: int, random: RandomStreams) -> np.ndarray:
    """Return each member's mean loss over the rows ``index``, (K,)."""
    objective.network.eval()
    total = torch.zeros(index.shape[0], device=rows.device, dtype=torch.float32)
    for batch in rows.batches(index, batch_size):
        total += objective.row_losses(batch, random).sum(1)
    return (total / index.shape[1]).cpu().double().numpy()
