"""Where to compute: one resolver for every ``device`` parameter."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch


def resolve_device(device: str) -> torch.device:
    """Return the torch device that a ``device`` parameter names; "auto" is the current CUDA device, MPS or the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (index and (kind != "cuda" or not index.isdigit())):
        raise ValueError(f"device={device!r} is unknown. Use 'auto', 'cpu', 'cuda', 'cuda:<index>' or 'mps'.")
    if kind == "cuda":
        n_gpus = torch.cuda.device_count()
        if int(index or 0) >= n_gpus:
            raise ValueError(
                f"device={device!r} is not on this machine, which has {n_gpus} CUDA device(s). Use device='auto'."
            )
        return torch.device("cuda", int(index or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' is not on this machine. Use device='auto'.")
    return torch.device(kind)


def device_for_scoring(device: str) -> torch.device:
    """Return `resolve_device`'s result, or the CPU where this machine does not have the device."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def on_cpu() -> AbstractContextManager:
    """Return a context in which tensors are made on the CPU, whatever torch's default device."""
    # torch's own sets something that all threads share
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")


def free_memory(device: torch.device) -> float:
    """Return the bytes that can still be allocated on a device; infinity where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return float("inf")
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def to_cpu(value):
    """Return ``value``; modules and tensors on another device, also within dicts and lists, become CPU copies."""
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_cpu(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, torch.nn.Module) and any(t.device.type != "cpu" for t in value.state_dict().values()):
        return copy.deepcopy(value).cpu()
    return value
