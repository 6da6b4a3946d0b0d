"""What error messages say alike."""

from __future__ import annotations

from itertools import islice
from typing import Any

SHOWN = 5  # of many names or labels


def listed(values: Any) -> str:
    """Return the first values as a list and, where there are more, their number: "[0, 1, 2, 3, 4] and 7 more"."""
    first = values[:SHOWN].tolist() if hasattr(values, "tolist") else list(islice(values, SHOWN))
    return f"{first} and {len(values) - SHOWN} more" if len(values) > SHOWN else str(first)
