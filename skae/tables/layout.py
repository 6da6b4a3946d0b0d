"""How cells become the input of a network, and how its output becomes cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from skae.interfaces import RowSummary
from skae.training import Moments, RowStream, unresolved

WIDTH = 32  # of the code of a category with more levels


class TableLayout:
    """What a network knows of a table: the kinds of its columns, their means and the frequencies of their levels.

    Cells, (..., n_columns), become numbers, codes of categories and flags of holes, in this order. A hole is the mean
    of its column or an empty code. The code of a level has one value for each level, 1 for its own, or 32 random ones
    where there are more levels. Codes are centred, and scaled so that a category varies as the numbers do on average.
    """

    def __init__(
        self,
        n_levels: tuple[int, ...],
        means: np.ndarray,  # (n_numbers,), or those of each member, (K, 1, n_numbers)
        scale: float,
        frequencies: Sequence[np.ndarray] = (),
        flags: Sequence[int] = (),
        unresolved: tuple[int, ...] = (),
    ):
        self.n_levels = n_levels  # 0 for numbers
        self.numbers, self.categories = _kinds(n_levels)
        self.means, self.scale, self.frequencies = means, scale, frequencies  # of numbers; of categories
        self.flags, self.unresolved = flags, unresolved  # columns
        self._tensors: dict[tuple, _Tensors] = {}

    @classmethod
    def of_cells(
        cls, cells: np.ndarray | RowStream, n_levels: tuple[int, ...], has_all_flags: bool = False
    ) -> TableLayout:
        """Return that of training rows; columns without holes have flags too where it ``has_all_flags``."""
        statistics = CellStatistics.of(cells, [n > 0 for n in n_levels])
        numbers, categories = _kinds(n_levels)
        means, variances = statistics.mean[numbers], statistics.variance[numbers]
        return cls(
            n_levels,
            means,
            float(np.sqrt(variances.mean() if numbers else 0.0)) or 1.0,
            [_frequencies(statistics.counts[j], n_levels[j]) for j in categories],
            np.flatnonzero((statistics.n < statistics.n_rows) | has_all_flags).tolist(),
            tuple(numbers[i] for i in unresolved(means, variances)),
        )

    @classmethod
    def of_numbers(cls, rows: RowSummary) -> TableLayout:
        """Return that of training rows that have no holes."""
        return cls((0,) * rows.n_features, rows.mean.numpy(), rows.scale)

    @property
    def is_plain(self) -> bool:
        """Whether all columns are numbers without holes."""
        return not (self.categories or self.flags)

    def summary(self, cells: np.ndarray) -> RowSummary:
        """Return what the network is built from, for training rows of these cells."""
        n_codes = sum(min(len(f), WIDTH) for f in self.frequencies)
        mean = np.r_[self.means, np.zeros(n_codes + len(self.flags))]
        return RowSummary(torch.from_numpy(mean), self.scale, self.unresolved, _Prototypes(self, cells), self)

    def sums_of_flags(self, inputs: Tensor) -> Tensor:
        """Return, for each flag, the sum over the inputs of its column, (n, n_inputs) -> (n, n_flags)."""
        t = self.on(inputs)
        sums = inputs.new_zeros(*inputs.shape[:-1], len(self.n_levels))
        return sums.index_add(-1, t.of_inputs, inputs)[..., t.flags]

    def expand(self, x: Tensor) -> Tensor:
        """Return the network's input, (..., n_columns) -> (..., n_inputs)."""
        t = self.on(x)
        holes = x.isnan()
        filled = torch.where(holes, t.fill, x)
        if self.is_plain:
            return filled
        parts = [filled.index_select(-1, t.numbers)]
        if self.categories:
            levels = torch.where(holes | (x >= t.n_levels), -1, x)
            narrow = levels.index_select(-1, t.columns)
            codes = ((narrow == t.levels).to(x.dtype) - t.frequencies) * t.units
            parts.append(codes.masked_fill(narrow < 0, 0.0))
            wide = self.categories[len(self.categories) - len(t.codebooks) :]
            # the last code is the empty one
            parts += [codebook[levels[..., j].long()] for j, codebook in zip(wide, t.codebooks, strict=True)]
        parts.append(holes.index_select(-1, t.flags).to(x.dtype) * self.scale)
        return torch.cat(parts, -1)

    def logits(self, output: Tensor) -> Tensor:
        """Return numbers and a logit for each level, (..., n_inputs) -> (..., n_raw)."""
        if self.is_plain:
            return output
        t = self.on(output)
        widths = [len(self.numbers), len(t.columns), *[WIDTH] * len(t.codebooks), len(self.flags)]
        numbers, narrow, *wide, _ = output.split_with_sizes(widths, -1)
        parts = [narrow / t.units]
        for codebook, code in zip(t.codebooks, wide, strict=True):
            codes = codebook[:-1]
            parts.append(code @ codes.mT / codes.square().sum(1).mean())
        return torch.cat([numbers, t.log_frequencies + torch.cat(parts, -1)], -1)

    def filled(self, inputs: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """Return inputs in which a network's output stands for the holes of x, which have no flags any more."""
        if self.is_plain:
            return torch.where(x.isnan(), output, inputs)
        t, raw = self.on(x), self.logits(output)
        parts = [raw[..., : len(self.numbers)]]
        if self.categories:
            narrow = (raw[..., t.slots] + t.filler).softmax(-1)[..., t.filler == 0]
            parts.append((narrow - t.frequencies) * t.units)
            slices = zip(self.wide_slices(), t.codebooks, strict=True)
            parts += [raw[..., a:b].softmax(-1) @ codebook[:-1] for (a, b), codebook in slices]
        parts.append(torch.zeros_like(inputs[..., inputs.shape[-1] - len(self.flags) :]))
        return torch.where(x.isnan().index_select(-1, t.of_inputs), torch.cat(parts, -1), inputs)

    def cells(self, raw: Tensor) -> Tensor:
        """Return numbers and the most probable level of each category, (..., n_raw) -> (..., n_columns)."""
        widths = [len(self.numbers), *(self.n_levels[j] for j in self.categories)]
        numbers, *logits = raw.split_with_sizes(widths, -1)
        cells = torch.cat([numbers, *(part.argmax(-1, keepdim=True).to(raw.dtype) for part in logits)], -1)
        return cells.index_select(-1, self.on(raw).places)

    def wide_slices(self) -> Iterator[tuple[int, int]]:
        """Yield where a raw output has the logits of each category of many levels."""
        start = len(self.numbers)
        for f in self.frequencies:
            if len(f) > WIDTH:
                yield start, start + len(f)
            start += len(f)

    def on(self, like: Tensor) -> _Tensors:
        """Return the tensors of this layout on the device and in the dtype of another."""
        key = like.device, like.dtype
        if key not in self._tensors:
            self._tensors[key] = self._make_tensors(*key)
        return self._tensors[key]

    @torch.inference_mode(False)  # training takes them, too
    def _make_tensors(self, device: torch.device, dtype: torch.dtype) -> _Tensors:
        def index(values: Any) -> Tensor:
            return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(device)

        def floats(values: Any) -> Tensor:
            return torch.from_numpy(np.asarray(values, dtype=np.float64)).to(dtype).to(device)

        # a mean square distance of two random codes as of two numbers
        units = [self.scale / np.sqrt(1 - np.square(f).sum() or 1.0) for f in self.frequencies]
        narrow = [i for i, f in enumerate(self.frequencies) if len(f) <= WIDTH]
        fill = np.zeros((*self.means.shape[:-1], len(self.n_levels)))
        n_levels = np.array(self.n_levels, dtype=float)
        fill[..., self.numbers], n_levels[self.numbers] = self.means, np.inf
        frequencies = [self.frequencies[i] for i in narrow]
        sizes, widths = [len(f) for f in frequencies], [min(len(f), WIDTH) for f in self.frequencies]
        rarest = np.zeros(len(self.n_levels))
        rarest[self.categories] = [f.argmin() for f in self.frequencies]
        starts = len(self.numbers) + np.cumsum([0, *sizes])[:-1]
        # of levels in a raw output; those of the filler are any
        slots = np.add.outer(starts, np.arange(max(sizes, default=0))).clip(max=len(self.numbers) + sum(sizes) - 1)
        return _Tensors(
            fill=floats(fill),
            n_levels=floats(n_levels),
            numbers=index(self.numbers),
            flags=index(self.flags),
            of_inputs=index(self.numbers + np.repeat(self.categories, widths).tolist() + [*self.flags]),
            categories=index(self.categories),
            rarest=floats(rarest),
            entropies=floats([-(f * np.log(f)).sum() or 1.0 for f in self.frequencies]),
            slots=torch.from_numpy(slots).to(device),
            filler=floats(np.where(np.arange(slots.shape[1]) < np.array(sizes).reshape(-1, 1), 0.0, -np.inf)),
            places=index(np.argsort(self.numbers + self.categories)),
            columns=index(np.repeat([self.categories[i] for i in narrow], sizes)),
            levels=floats(np.concatenate([np.empty(0), *map(np.arange, sizes)])),
            frequencies=floats(np.concatenate([np.empty(0), *frequencies])),
            units=floats(np.repeat([units[i] for i in narrow], sizes)),
            codebooks=[floats(_codebook(f, self.scale)) for f in self.frequencies[len(narrow) :]],
            log_frequencies=floats(np.log(np.concatenate([np.empty(0), *self.frequencies]))),
        )

    def __getstate__(self):
        return vars(self) | {"_tensors": {}}

    def __deepcopy__(self, memo):
        return self  # nothing ever changes it


class _Tensors(NamedTuple):
    fill: Tensor  # (n_columns,) or (K, 1, n_columns), the means of numbers
    n_levels: Tensor  # (n_columns,), infinity for numbers
    numbers: Tensor  # their columns
    flags: Tensor  # columns with flags
    places: Tensor  # (n_columns,), of each column in a raw output
    of_inputs: Tensor  # (n_inputs,), the column that each stands for
    categories: Tensor  # their columns
    rarest: Tensor  # (n_columns,), the rarest level
    entropies: Tensor  # (n_categories,), in nats; 1 where there is a single level, whose losses are 0
    slots: Tensor  # (n_narrow, max n_levels), of each level of the categories with few in a raw output
    filler: Tensor  # the same shape, minus infinity where a category has fewer levels
    # of each level of the categories with few:
    columns: Tensor
    levels: Tensor
    frequencies: Tensor
    units: Tensor
    # of each category with many, (n_levels + 1, WIDTH):
    codebooks: list[Tensor]
    log_frequencies: Tensor  # of each level of all


@dataclass
class _Prototypes:
    """Training rows as a network takes them, made when they are asked for. Holes have no flags in them.

    So prototypes that have holes do not attract rows that have the same.
    """

    layout: TableLayout
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, numbers: Any) -> np.ndarray:
        expanded = self.layout.expand(torch.from_numpy(self.rows[numbers].astype(np.float64)))
        if self.layout.flags:
            expanded[..., -len(self.layout.flags) :] = 0
        return expanded.numpy()


def _kinds(n_levels: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the columns of numbers and of categories, of these the ones with few levels first."""
    numbers, categories = ([j for j, n in enumerate(n_levels) if bool(n) == kind] for kind in (False, True))
    return numbers, sorted(categories, key=lambda j: n_levels[j] > WIDTH)


class CellStatistics(Moments):
    """Moments of the columns, and how often each level appears where ``is_category`` says that a column has them."""

    def __init__(self, n_columns: int, is_category: Sequence[bool]):
        super().__init__(n_columns)
        self.n_rows = 0
        self.counts = {j: np.zeros(0) for j in range(n_columns) if is_category[j]}

    @classmethod
    def of(cls, cells: np.ndarray | RowStream, is_category: Sequence[bool] = ()) -> CellStatistics:
        """Return those of rows."""
        if isinstance(cells, RowStream):
            return cast(CellStatistics, cells.moments)
        statistics = cls(cells.shape[1], is_category)
        statistics.add(cells)
        return statistics

    def add(self, rows: np.ndarray) -> None:
        """Add cells, (n, n_columns)."""
        super().add(rows)
        self.n_rows += len(rows)
        for j, counts in self.counts.items():
            levels = rows[:, j]
            self.counts[j] = _sum(counts, np.bincount(levels[~np.isnan(levels)].astype(int)))

    def merge(self, other: Moments) -> None:
        """Add those of other cells."""
        super().merge(other)
        if isinstance(other, CellStatistics):  # and not the moments of a chunk
            self.n_rows += other.n_rows
            self.counts = {j: _sum(counts, other.counts[j]) for j, counts in self.counts.items()}


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    n = max(len(a), len(b))
    return np.pad(a, (0, n - len(a))) + np.pad(b, (0, n - len(b)))


def _frequencies(counts: np.ndarray, n_levels: int) -> np.ndarray:
    """Return the share of each level among the known ones; one that is not among them counts half."""
    counts = np.maximum(_sum(counts, np.zeros(n_levels))[:n_levels], 0.5)
    return counts / counts.sum()


def _codebook(frequencies: np.ndarray, scale: float) -> np.ndarray:
    """Return a random code for each level and an empty one, centred and scaled, (n_levels + 1, WIDTH)."""
    codes = np.random.default_rng(0).normal(size=(len(frequencies), WIDTH))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    codes -= frequencies @ codes
    codes *= scale / np.sqrt(frequencies @ np.square(codes).sum(1))
    return np.r_[codes, np.zeros((1, WIDTH))]
