"""Files of skae.save with a valid hash and contents that nobody has saved."""

import copy
import json
import struct
from hashlib import sha256

import numpy as np

from skae.persistence.container import HEADER, LENGTHS, MAGIC

NUMBERS = [-1, 0, 3, 2**31, 2**62, 2**64, 10**30, -(10**18), 0.5, -1e300]
TEXTS = ["", "os.system", "../../../tmp/x", "/etc/passwd", "\ud800", "a" * 10_000, "squared_error", "builtins.eval"]
OTHERS = [
    None,
    True,
    [],
    {},
    [[]],
    {"tuple": []},
    {"float": "nan"},
    {"code": "network"},
    {"unknown": 1},
    {"dict": [[1]]},
]
OTHERS += [{"array": ["number", [2**40], "0"]}, {"tensor": "0"}, {"table": 0}, {"layout": -1}, {"bytes": "zz"}]
OTHERS += [{"estimator": {"class": "os.system", "parameters": {}, "attributes": {}, "is_fitted": True}}]
OTHERS += [
    {"scalar": ["str", "a"]},
    {"dtype": "V999999999"},
    {"random_state": ["0", 10**9, 0, 0.0]},
    {"tuple": [2**40] * 3},
]
OTHERS += [{"tuple": list(range(5000))}, [10**9] * 3000, {"a": 1, "b": 2}, {"index": [[1, 1], {"dtype": "<i8"}]}]


def parts(data):
    """Return the JSON and the safetensors file of an artifact."""
    _, _, n_text, _ = HEADER.unpack(data[: HEADER.size])
    return data[HEADER.size :][:n_text], data[HEADER.size + n_text :]


def with_hash(text, weights):
    """Return an artifact of any contents, with a valid hash."""
    body = LENGTHS.pack(len(text), len(weights)) + text + weights
    return MAGIC + sha256(body).digest() + body


def nodes(tree, path=()):
    """Yield the path to every node of a JSON tree below its root."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def replaced(tree, path, change):
    """Return a copy of a JSON tree in which ``change(container, key)`` was called for a node."""
    tree = copy.deepcopy(tree)
    container = tree
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return tree


def any_json(data, rng):
    """Return an artifact in whose JSON a random node is changed, which need not make it invalid."""
    text, weights = parts(data)
    tree = json.loads(text)
    paths = list(nodes(tree))
    path = paths[rng.integers(len(paths))]
    pool = (NUMBERS, TEXTS, OTHERS)[rng.integers(3)]
    value = pool[rng.integers(len(pool))]
    other = paths[rng.integers(len(paths))]

    def change(container, key):
        kind = rng.integers(8)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, list):
            container.extend([container[key]] * int(rng.integers(1, 2000)))
        elif kind == 2 and isinstance(container, dict):
            container[str(value)[:50]] = container[key]
        elif kind == 3:  # another part of the file
            part = tree
            for k in other:
                part = part[k]
            container[key] = part
        elif kind == 4:
            for _ in range(int(rng.integers(1, 200))):
                container[key] = [container[key]]
        else:
            container[key] = value

    return with_hash(json.dumps(replaced(tree, path, change)).encode(), weights)


def any_arrays(data, rng):
    """Return an artifact in the header of whose arrays something is changed."""
    text, weights = parts(data)
    (n,) = struct.unpack("<Q", weights[:8])
    header, body = json.loads(weights[8 : 8 + n]), weights[8 + n :]
    names = sorted(header)
    name = names[rng.integers(len(names))]
    entry, kind = header[name], rng.integers(7)
    if kind == 0:
        entry["shape"] = [[2**62, 4], [0], [-1], [2**33, 2**33], entry["shape"] + [1], []][rng.integers(6)]
    elif kind == 1:
        entry["dtype"] = ["F64", "I32", "BOOL", "C128", "U8", "BF16"][rng.integers(6)]
    elif kind == 2:
        entry["data_offsets"] = [[0, 2**62], [5, 1], [-1, 4], [0, 0]][rng.integers(4)]
    elif kind == 3:
        del header[name]
    elif kind == 4:
        header["another"] = header.pop(name)
    elif kind == 5:
        other = names[rng.integers(len(names))]
        header[name], header[other] = header[other], header[name]
    else:
        header["empty"] = {"dtype": "F32", "shape": [0, 2**60], "data_offsets": [0, 0]}
    n_declared = n if rng.integers(10) else int(rng.integers(2**62))
    changed = json.dumps(header).encode()
    n_declared = len(changed) if n_declared == n else n_declared
    return with_hash(text, struct.pack("<Q", n_declared) + changed + body)


def any_bytes(data, rng):
    """Return an artifact of which some bytes are changed, and the hash made valid again."""
    changed = np.frombuffer(b"".join(parts(data)), dtype=np.uint8).copy()
    for _ in range(int(rng.integers(1, 4))):
        changed[rng.integers(len(changed))] = rng.integers(256)
    n = len(parts(data)[0])
    return with_hash(changed[:n].tobytes(), changed[n:].tobytes())
