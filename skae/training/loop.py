"""The one training loop. It calls the objective's ``step`` and never learns which autoencoder it trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from skae.contracts import EpochListener, Objective
from skae.device import one_thread
from skae.random import RandomStreams, derived_seeds
from skae.training.adamw import AdamW
from skae.training.rows import Rows
from skae.training.schedule import Schedule

SHUFFLING, NOISE, VALIDATION_NOISE = range(3)
SHARED_PRODUCT = 2**20  # multiplications; threads take longer to agree on fewer than to do them


@dataclass
class History:
    """What happened, epoch by epoch; filled while training runs, so that an interrupted fit has it too."""

    losses: list[np.ndarray] = field(default_factory=list)  # (K,) each
    validation_losses: list[np.ndarray] = field(default_factory=list)
    best_epoch: int = 0  # counted from 1; 0 before any epoch is finished
    optimizer_states: list[list[Tensor]] = field(default_factory=list)


class BestWeights:
    """A copy of each member's weights at the epoch with its lowest monitored loss."""

    def __init__(self, module: nn.Module, n_members: int):
        self._module, self._n_members = module, n_members
        self.loss = np.full(n_members, np.inf)
        self._saved = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    def update(self, losses: np.ndarray) -> bool:
        """Save the members whose loss is a new low; return whether there was one."""
        better = losses < self.loss
        if not better.any():
            return False
        self.loss[better] = losses[better]
        members = torch.from_numpy(np.flatnonzero(better))
        for name, tensor in self._module.state_dict().items():
            if self._n_members == 1:  # perhaps a user's module, whose tensors have no member axis
                self._saved[name].copy_(tensor)
            else:
                self._saved[name][members] = tensor[members]
        return True

    def restore(self) -> None:
        """Put the saved weights back."""
        self._module.load_state_dict(self._saved)


def train(
    objective: Objective,
    rows: Rows,
    index: Tensor,
    schedule: Schedule,
    entropies: Sequence[int],
    *,
    history: History,
    validation_index: Tensor | None = None,
    first_epoch: int = 0,
    listener: EpochListener | None = None,
    verbose: bool = False,
) -> None:
    """Train an objective; the outcome is in its network and in ``history``.

    Parameters
    ----------
    objective : Objective
        Its network has been moved to the device of ``rows``.
    rows : Rows
        The data.
    index : Tensor of shape (K, n)
        Rows that each member trains on.
    schedule : Schedule
        Batch size, epochs, learning rate, stopping rule.
    entropies : sequence of int
        Seeds of all random numbers of each member.
    history : History
        Filled in; its ``optimizer_states``, where given, are continued.
    validation_index : Tensor of shape (K, m) or None, default=None
        Rows whose loss is monitored in place of the training loss; the best weights by it are restored.
    first_epoch : int, default=0
        Epochs that earlier calls have run; later ones draw other random numbers.
    listener : EpochListener or None, default=None
        Told of every epoch.
    verbose : bool, default=False
        Print a line an epoch.

    Raises
    ------
    FloatingPointError
        If a loss is not finite. As after any exception, the network then has the best weights so far.
    """
    n_members, n = index.shape
    n_batches = -(-n // schedule.batch_size)
    groups = [group if isinstance(group, dict) else {"params": group} for group in objective.parameter_groups()]
    optimizers = [AdamW(schedule.learning_rate_init, schedule.alpha, **group) for group in groups]
    for optimizer, state in zip(optimizers, history.optimizer_states, strict=False):
        optimizer.continue_from(state)
    best = BestWeights(objective.network, n_members)
    lowest, n_stalled, n_reductions = np.full(n_members, np.inf), 0, 0

    def streams(purpose: int, epoch: int) -> RandomStreams:
        return RandomStreams([derived_seeds(entropy, purpose, epoch)[0] for entropy in entropies], rows.device)

    def train_epoch(epoch: int) -> np.ndarray:
        objective.network.train()
        shuffled = index.gather(1, streams(SHUFFLING, epoch).permutation(n))
        noise = streams(NOISE, epoch)
        total = torch.zeros(n_members, device=rows.device, dtype=torch.float32)
        for i, batch in enumerate(rows.batches(shuffled, schedule.batch_size)):
            progress = (epoch - first_epoch + i / n_batches) / schedule.max_iter
            rate = schedule.rate(progress, n_reductions)
            for optimizer in optimizers:
                optimizer.set_rate(rate)
            total.add_(objective.step(batch, noise, optimizers), alpha=batch.x.shape[1])
        return (total / n).cpu().double().numpy()  # the epoch's only synchronisation

    alone = objective.network.largest_product(schedule.batch_size) < SHARED_PRODUCT
    try:
        for epoch in range(first_epoch, first_epoch + schedule.max_iter):
            if listener is not None:
                listener.begin()
            with one_thread() if alone else nullcontext():
                losses = train_epoch(epoch)
            monitored = losses
            if validation_index is not None:
                # the same noise every epoch, so that epochs can be compared
                monitored = _mean_loss(
                    objective, rows, validation_index, schedule.batch_size, streams(VALIDATION_NOISE, 0)
                )
            if not (np.isfinite(losses).all() and np.isfinite(monitored).all()):
                raise FloatingPointError(
                    f"The training loss is not finite in epoch {epoch + 1}: training has diverged. Scale the "
                    f"columns of X (StandardScaler) or lower learning_rate_init={max(schedule.learning_rate_init)}."
                )
            history.losses.append(losses)
            if validation_index is not None:
                history.validation_losses.append(monitored)
            if best.update(monitored):
                history.best_epoch = len(history.losses)
            if verbose:
                held_out = "" if validation_index is None else f", validation loss {monitored.mean():.6g}"
                print(f"Epoch {epoch + 1}: loss {losses.mean():.6g}{held_out}")
            if listener is not None and listener.end():
                break
            improved = monitored < lowest - schedule.tol * np.where(np.isfinite(lowest), np.abs(lowest), 0)
            lowest = np.where(improved, monitored, lowest)
            n_stalled = 0 if improved.any() else n_stalled + 1
            if n_stalled >= schedule.n_iter_no_change:
                if schedule.learning_rate == "adaptive" and n_reductions < schedule.max_reductions:
                    n_stalled, n_reductions = 0, n_reductions + 1
                elif schedule.stops_on_stall:
                    break
    except BaseException:
        best.restore()
        raise
    finally:
        objective.network.eval()
        trained = {id(p) for optimizer in optimizers for p in optimizer.params}
        for parameter in objective.network.parameters():
            if id(parameter) not in trained:  # a view of one that is, which would be pickled whole
                parameter.data = parameter.data.clone()
    if validation_index is not None:
        best.restore()
    history.optimizer_states = [optimizer.state() for optimizer in optimizers]


@torch.no_grad()
def _mean_loss(objective: Objective, rows: Rows, index: Tensor, batch_size: int, random: RandomStreams) -> np.ndarray:
    """Return each member's mean loss over the rows ``index``, (K,)."""
    objective.network.eval()
    total = torch.zeros(index.shape[0], device=rows.device, dtype=torch.float32)
    for batch in rows.batches(index, batch_size):
        total += objective.row_losses(batch, random).sum(1)
    return (total / index.shape[1]).cpu().double().numpy()
