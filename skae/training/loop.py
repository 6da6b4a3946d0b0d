"""The one training loop, the same for every autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skae._compat import limit_threads
from skae.interfaces import BeginEpoch, Objective
from skae.random import RandomStreams, derived_seeds
from skae.training.rows import Rows
from skae.training.schedule import Schedule
from skae.training.steps import AdamW, make_step
from skae.training.streams import StreamedRows

SHUFFLING, NOISE, VALIDATION_NOISE = range(3)


class BestWeights(NamedTuple):
    """Each member's weights after the epoch with its lowest monitored loss."""

    losses: np.ndarray  # (K,)
    epoch: int  # of the last new low, counted from 1
    weights: dict[str, Tensor]

    def restore(self, module: nn.Module) -> None:
        """Put the weights back."""
        module.load_state_dict(self.weights)


class Stall(NamedTuple):
    """Whether the monitored losses, (K,), have stalled."""

    lowest: np.ndarray | float = np.inf
    n_epochs: int = 0  # since one of them improved
    n_reductions: int = 0  # of an adaptive learning rate
    ends_training: bool = False

    def after(self, monitored: np.ndarray, schedule: Schedule) -> Stall:
        """Return what holds after another epoch."""
        improved = monitored < self.lowest - schedule.tol * np.where(np.isfinite(self.lowest), np.abs(self.lowest), 0)
        lowest = np.where(improved, monitored, self.lowest)
        n_epochs = 0 if improved.any() else self.n_epochs + 1
        if n_epochs < schedule.n_iter_no_change:
            return Stall(lowest, n_epochs, self.n_reductions)
        if schedule.learning_rate == "adaptive" and self.n_reductions < schedule.max_reductions:
            return Stall(lowest, 0, self.n_reductions + 1)
        return Stall(lowest, n_epochs, self.n_reductions, schedule.stops_on_stall)


@dataclass
class History:
    """What happened, epoch by epoch; filled while training runs, so that an interrupted fit has it too.

    Each change is one assignment: an interrupt comes before or after it.
    """

    epochs: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)  # training and held-out losses
    best: BestWeights | None = None
    stall: Stall = field(default_factory=Stall)
    optimizer_states: list[list[Tensor]] = field(default_factory=list)
    objective_state: dict[str, Tensor] = field(default_factory=dict)
    generator_states: list[Tensor] = field(default_factory=list)  # torch's own, where the network may use them
    rate: float = 1.0  # factor of the learning rate in the first step of the last epoch; training does not read it

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

    def snapshot(self) -> dict[str, Any]:
        """Return all of it as plain data and copies of tensors, between two epochs; `of_snapshot` reads it."""
        assert self.best is not None
        return {
            "losses": np.array(self.losses),  # (n_epochs, K)
            "validation_losses": np.array(self.validation_losses),
            "best": tuple(self.best),
            "stall": tuple(self.stall),
            "optimizer_states": [[tensor.clone() for tensor in state] for state in self.optimizer_states],
            "objective_state": {name: tensor.clone() for name, tensor in self.objective_state.items()},
            "generator_states": self.generator_states,
        }

    @classmethod
    def of_snapshot(cls, snapshot: dict[str, Any]) -> History:
        """Return the history from which `train` goes on."""
        states = dict(snapshot)
        losses, held_out = list(states.pop("losses")), list(states.pop("validation_losses"))
        epochs = list(zip(losses, held_out or [None] * len(losses), strict=True))
        return cls(epochs, BestWeights(*states.pop("best")), Stall(*states.pop("stall")), **states)


def train(
    objective: Objective,
    rows: Rows | StreamedRows,
    schedule: Schedule,
    seeds: Sequence[int],
    *,
    history: History,
    shuffle: bool = True,
    first_epoch: int = 0,
    begin_epoch: BeginEpoch | None = None,
    verbose: bool = False,
) -> None:
    """Train an objective, whose network is on the device of ``rows``; ``history`` is filled in.

    Each member draws random numbers from its seed. Training goes on from the epochs and states of ``history``, where it
    has any. Where ``rows`` has some held out, their loss is monitored instead of the training loss, and the weights
    with the lowest are restored. ``first_epoch`` is the number of epochs that earlier calls have run, so that other
    random numbers are drawn.

    A loss that is not finite raises a FloatingPointError. After any exception ``history.best`` has the best weights so
    far.
    """
    network, processes = objective.network, rows.processes
    processes.copy_first([t.detach() for t in network.state_dict().values()])
    optimizers = [
        AdamW(schedule.learning_rate_init, schedule.alpha, **group, processes=processes)
        for group in objective.parameter_groups()
    ]
    for optimizer, state in zip(optimizers, history.optimizer_states, strict=False):
        optimizer.continue_from(state)
    objective.continue_from(history.objective_state)
    step = make_step(objective, optimizers, rows.device)
    n_threads = torch.get_num_threads() - rows.n_reading_threads  # each waits for one that has to wait for a core
    if network.is_small(schedule.batch_size) or n_threads < 1:
        n_threads = 1

    def streams(purpose: int, epoch: int) -> RandomStreams:
        own = (processes.rank,) if processes.rank and purpose != SHUFFLING else ()  # noise of its own for each process
        return RandomStreams([derived_seeds(seed, purpose, epoch, *own)[0] for seed in seeds], rows.device)

    def mean(total: Tensor, n: int | np.ndarray) -> np.ndarray:  # (K,); an epoch's only synchronisation
        return processes.sum(total.cpu().double().numpy(), rows.device) / n

    def train_epoch(epoch: int) -> np.ndarray:  # each member's mean loss, (K,)
        network.train()
        n_batches = rows.n_batches(schedule.batch_size)
        batches = rows.epoch(schedule.batch_size, streams(SHUFFLING, epoch) if shuffle else None)
        rates = schedule.rates(epoch - first_epoch, n_batches, history.stall.n_reductions)
        history.rate = rates[0]
        noise = streams(NOISE, epoch)
        total = torch.zeros(rows.n_members, device=rows.device, dtype=torch.float32)
        n_own = 0
        for (batch, n, n_of_all), rate in zip(batches, rates, strict=True):
            for optimizer in optimizers:
                optimizer.begin_step(rate, n / n_of_all)
            losses = step(batch, noise)
            total.add_(losses if batch.n_counted is None else losses * (batch.n_counted / n), alpha=n)
            n_own += n
        # what moves without a gradient, as the statistics of a normalisation do; in float64 all else stays as it is
        buffers = [b for b in network.buffers() if b.is_floating_point()]
        processes.average(buffers, n_own / rows.n_rows, torch.float64)
        return mean(total, rows.n_rows_of_members)

    @torch.no_grad()
    def held_out_loss() -> np.ndarray:
        network.eval()
        noise = streams(VALIDATION_NOISE, 0)  # the same every epoch, so that epochs can be compared
        total = torch.zeros(rows.n_members, device=rows.device, dtype=torch.float32)
        for batch in rows.validation(schedule.batch_size):
            total += objective.row_losses(batch, noise).sum(1)
        return mean(total, rows.n_held_out)

    def losses_of(epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        return train_epoch(epoch), held_out_loss() if rows.n_held_out else None

    try:
        for epoch in range(first_epoch + len(history.epochs), first_epoch + schedule.max_iter):
            if history.stall.ends_training:
                break
            end_epoch = None if begin_epoch is None else begin_epoch()
            losses, held_out = limit_threads(n_threads, losses_of, epoch)
            monitored = losses if held_out is None else held_out
            if not (np.isfinite(losses).all() and np.isfinite(monitored).all()):
                raise FloatingPointError(
                    f"The training loss is not finite in epoch {epoch + 1}: training has diverged. Scale the "
                    f"columns of X (StandardScaler) or lower learning_rate_init={max(schedule.learning_rate_init)}."
                )
            history.add(losses, held_out, network)
            history.stall = history.stall.after(monitored, schedule)
            history.optimizer_states = [optimizer.state() for optimizer in optimizers]
            history.objective_state = objective.state()
            if verbose:
                monitor = "" if held_out is None else f", validation loss {held_out.mean():.6g}"
                print(f"Epoch {epoch + 1}: loss {losses.mean():.6g}{monitor}")
            if end_epoch is not None and end_epoch():
                break
    finally:
        network.eval()
        for optimizer in optimizers:
            optimizer.zero_grad()
    if rows.n_held_out and history.best is not None:
        history.best.restore(network)
