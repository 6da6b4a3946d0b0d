"""The private interfaces of torch and scikit-learn that skae uses, and what it does where one is missing.

No other file imports a private name. Each of torch's is looked up once; without it the same is done with public ones,
more slowly.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import operator
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import joblib  # its folder is looked up below
import torch
from sklearn.base import _fit_context as fit_context
from sklearn.utils._available_if import _AvailableIfDescriptor
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions, validate_parameter_constraints
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.validation import _check_y as check_y
from torch import Tensor

# ---- methods that some settings do not have ------------------------------------------------------------------


class _Available(_AvailableIfDescriptor):
    def _check(self, obj, owner):
        self.check(obj)


def available_unless(refuse: Callable[[Any], None]) -> Callable[[Any], Any]:
    """Decorate a method that an object does not have where ``refuse`` raises an AttributeError, which is shown.

    That of `sklearn.utils.metaestimators.available_if` says only that there is no such method.
    """
    return lambda method: _Available(method, refuse, method.__name__)


# ---- the optimizer's kernel ----------------------------------------------------------------------------------


def adamw_of_torch(params, grads, means, squares, max_squares, n_steps, **settings) -> None:
    """Do what `torch._fused_adamw_` does by `torch.optim.AdamW`'s own function, which counts the steps itself."""
    from torch.optim.adamw import adamw  # loads torch's compiler, which takes a second

    own_steps = [step - 1 for step in n_steps]
    capturable = own_steps[0].is_cuda
    adamw(params, grads, means, squares, max_squares, own_steps, capturable=capturable, foreach=True, **settings)


fused_adamw: Callable[..., Any] = getattr(torch, "_fused_adamw_", adamw_of_torch)


# ---- derivatives of activations, in place --------------------------------------------------------------------


def _backward(name: str, of_output: bool, *arguments: float) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """Return (gradient of the output, input, output) -> gradient of the input, written over the first."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or "grad_input" not in packet.overloads():
        return None
    return lambda g, x, y: packet.grad_input(g, y if of_output else x, *arguments, grad_input=g)


# None: the gradient is multiplied by the derivative instead
ACTIVATION_BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor] | None] = {
    "relu": _backward("threshold_backward", False, 0),
    "gelu": _backward("gelu_backward", False),
    "silu": _backward("silu_backward", False),
    "tanh": _backward("tanh_backward", True),
    "sigmoid": _backward("sigmoid_backward", True),
}


# ---- the calling thread's number of threads ------------------------------------------------------------------


def _thread_setters() -> tuple[Callable[[int], Any], Callable[[int], int]] | None:
    """Return OpenMP's and MKL's functions that set how many threads the calling thread computes with.

    Unlike `torch.set_num_threads` they leave other threads, running or yet to start, as they are.
    """
    try:
        library = ctypes.CDLL(torch._C.__file__)  # names are looked up in the libraries it is linked with, too
        openmp = library.omp_set_num_threads
    except (AttributeError, OSError):
        return None
    return openmp, getattr(library, "MKL_Set_Num_Threads_Local", lambda n: 0)


_SETTERS = _thread_setters()


def limit_to_one_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function while torch computes in the calling thread only, where that can be set."""
    return limit_threads(1, function, *args)


def limit_threads(n: int, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function while torch computes in n threads for the calling one, where that can be set.

    An interrupt can come after any call, but not between the start of a ``finally`` clause and its first call.
    """
    if _SETTERS is None:
        return function(*args)
    openmp, mkl = _SETTERS
    before, before_mkl = torch.get_num_threads(), 0
    try:
        openmp(n)
        before_mkl = mkl(n)  # 0: none of the thread's own
        return function(*args)
    finally:
        try:
            openmp(before)
        finally:
            mkl(before_mkl)


def compute_alone() -> None:
    """Let torch compute in the calling thread only, from now on."""
    if _SETTERS is not None:
        for limit in _SETTERS:
            limit(1)


if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not survive a fork: without them the child's first thread would wait for ever
    os.register_at_fork(after_in_child=compute_alone)


# ---- the versions of tensors ---------------------------------------------------------------------------------


def versions_of(tensors: Iterable[Tensor]) -> list[int]:
    """Return how often each tensor has been written to."""
    return list(map(_version, tensors))


_version = operator.attrgetter("_version")


# ---- the calling thread's modes ------------------------------------------------------------------------------

_InferenceMode = getattr(torch._C, "_InferenceMode", torch.inference_mode)
F = TypeVar("F", bound=Callable[..., Any])


def in_own_modes(inference: bool) -> Callable[[F], F]:
    """Decorate a function to compute in inference mode or with gradients and without autocast, whatever the caller set.

    An interrupt within torch's own context managers, which are written in Python, can leave their mode switched on.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            restoring = restoring_autocast("cpu", "cuda", "mps")
            try:
                with _InferenceMode(inference):
                    for kind in ("cpu", "cuda", "mps"):
                        torch.set_autocast_enabled(kind, False)
                    return function(*args, **kwargs)
            finally:
                deque(restoring, 0)

        return cast(F, call)

    return decorate


def restoring_autocast(*kinds: str) -> Iterator[None]:
    """Return what puts autocast back as it is now, once it is exhausted, which no interrupt can come into."""
    calls: list[Callable[[], Any]] = [partial(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())]
    for kind in kinds:
        calls.append(partial(torch.set_autocast_enabled, kind, torch.is_autocast_enabled(kind)))
        calls.append(partial(torch.set_autocast_dtype, kind, torch.get_autocast_dtype(kind)))
    return map(operator.call, calls)


# ---- warnings ------------------------------------------------------------------------------------------------

_INNER = (  # skae itself, and what calls its methods for the user
    *(str(Path(sys.modules[name].__file__ or "").parent) + os.sep for name in ("skae", "sklearn", "joblib", "torch")),
    contextlib.__file__,
)


def warn_user(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn, pointing at the user's line: `skip_file_prefixes` of Python 3.12, for 3.11 too."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INNER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


# ---- files of skops ------------------------------------------------------------------------------------------


def register_skops_node(
    name: str, types: list[type], dump: Callable[[Any], bytes], load: Callable[[bytes], Any]
) -> None:
    """Let `skops.io` write objects of these types as bytes, and trust what ``load`` makes of them."""
    try:
        from skops.io._audit import NODE_TYPE_MAPPING, Node
        from skops.io._protocol import PROTOCOL
        from skops.io._utils import _get_state, get_module
    except ImportError as error:
        raise ImportError('register_with_skops needs skops: python -m pip install "skae[files]".') from error

    def get_state(value: Any, save_context: Any) -> dict[str, Any]:
        file = f"{uuid4().hex}.skae"  # an object may be written twice
        save_context.zip_file.writestr(file, dump(value))
        cls = type(value)
        return {"__class__": cls.__name__, "__module__": get_module(cls), "__loader__": name, "file": file}

    class BytesNode(Node):
        def __init__(self, state: dict[str, Any], load_context: Any, trusted: Any = None):
            super().__init__(state, load_context, trusted)
            self.trusted = self._get_trusted(trusted, types)
            self._data = load_context.src.read(state["file"])

        def _construct(self) -> Any:
            return load(self._data)

    for cls in types:
        _get_state.register(cls)(get_state)
    NODE_TYPE_MAPPING[name, PROTOCOL] = BytesNode


# ---- scikit-learn's progress bars ----------------------------------------------------------------------------
# imported late: should these names move, only our bars fail


def on_bar_message(context: Any, show: Callable[[Any, Any, str], None]) -> None:
    """Call ``show(progress, bar, text)``, with rich's `Progress`, for each text that `send_to_bars` sends in this fit.

    Names of bars do not say which task of another estimator a fit is, so that there is room for the texts.
    """
    from sklearn.callback._progressbar import _run_monitors

    monitor = _run_monitors[context.root_uuid]
    begin_task, end_task = monitor._on_task_begin, monitor._on_task_end
    monitor._on_task_begin = lambda message: begin_task({**message, "source_estimator_name": None})

    def receive(message: dict[str, Any]) -> None:  # in the thread that draws
        if "text" in message:
            bar = monitor.root_rich_task.get_descendants(message["path"])[-1]
            show(monitor.progress_ctx, bar.id, message["text"])
        else:
            end_task(message)

    monitor._on_task_end = receive


def send_to_bars(callback: Any, context: Any, text: str) -> None:
    """Send a text about a task to the process that draws the bars of a `ProgressBar`."""
    from sklearn.callback._callback_context import get_context_path
    from sklearn.callback._transport import send

    path = [task.task_id for task in get_context_path(context)]
    send(callback._listener_handles[context.root_uuid], {"event": "end", "path": path, "text": text})
