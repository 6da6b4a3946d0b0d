"""Reading ahead of training, and giving back what has been read."""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def prefetched(items: Iterator[T]) -> Generator[T]:
    """Yield what an iterator gives, which a thread asks for one item ahead."""
    ready: queue.Queue = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:  # raised where the item is asked for
            put((None, error))

    thread = threading.Thread(target=run, name="skae-prefetch", daemon=True)
    try:
        thread.start()
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        if thread.is_alive():  # else an interrupt came before it was started
            thread.join()


def release(X: Any) -> None:
    """Give the memory of a mapped file back: the system would count it until it needs it."""
    base = X
    while isinstance(base, np.ndarray):
        base = base.base
    # changes of a private copy would be lost
    if isinstance(X, np.memmap) and isinstance(base, mmap.mmap) and X.mode != "c" and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
