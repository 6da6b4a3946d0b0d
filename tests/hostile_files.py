"""Files with a valid hash and contents that skae.save has not written."""

import copy
import json
import struct
from hashlib import sha256

import numpy as np

from skae.persistence.container import HEADER, LENGTHS, MAGIC


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


def node(tree, path):
    """Return a node of a JSON tree."""
    for key in path:
        tree = tree[key]
    return tree


def pick(rng, values):
    """Return one of some values, whatever they are."""
    return values[rng.integers(len(values))]


# ---- invalid by construction ---------------------------------------------------------------------------------

NEVER = [  # an attribute, a size or a record
    "os.system",
    "../../../tmp/skae",
    -1,
    2**70,
    {"unknown": []},
    {"os.system": ["touch /tmp/skae"]},
    {"code": "network"},
    {"bytes": "zz"},
    {"tuple": [2**40] * 3},
    {"tensor": "../../etc/passwd"},
    {"table": 99},
    {"estimator": {"class": "os.system"}},
    {"random_state": ["0", 10**9, 0, 0.0]},
    {"dict": [[[], 1]]},
    {"a": 1, "b": 2},
    [[]] * 5000,
]


def _records(tree, *names):
    """Return the paths to all records of some names."""
    return [path for path in nodes(tree) if path[-1] in names and isinstance(node(tree, path), dict)]


def wrong_attribute(tree, rng):
    """Give an attribute a value that it can never have."""
    attributes = node(tree, pick(rng, [p for p in _records(tree, "attributes") if node(tree, p)]))
    attributes[pick(rng, sorted(attributes))] = pick(rng, NEVER)


def other_names(tree, rng):
    """Drop or add an attribute or a parameter, perhaps one that would hide a method."""
    record = node(tree, pick(rng, [p for p in _records(tree, "attributes", "parameters") if node(tree, p)]))
    removed = record.pop(pick(rng, [name for name in sorted(record) if name not in OPTIONAL]))
    record[pick(rng, ["transform", "__class__", "_validate_params", "n_layers", "", "x" * 50_000])] = removed


OPTIONAL = ("feature_names_in_", "_given_layout", "pretraining_loss_curves_")


def other_sizes(tree, rng):
    """Describe another network than the weights are of."""
    parameters = node(tree, pick(rng, [p for p in _records(tree, "parameters") if "n_components" in node(tree, p)]))
    estimator = tree["estimator"]["estimator"]
    for record in (parameters, estimator["parameters"]):
        record["n_components"] = pick(rng, [10**9, 2**62, 10**100, -3, 0, 1.5, True, "2", None])


def other_class(tree, rng):
    """Name another class."""
    record = node(tree, pick(rng, _records(tree, "estimator"))).get("estimator", tree["estimator"]["estimator"])
    record["class"] = pick(
        rng, ["os.system", "sklearn.pipeline.Pipeline", "DenseNetwork", "", None, ["a"], "_" * 10**5]
    )


def deep(tree, rng):
    """Nest a value."""
    record = node(tree, pick(rng, [p for p in _records(tree, "attributes") if node(tree, p)]))
    name = pick(rng, sorted(record))
    for _ in range(int(rng.integers(50, 400))):
        record[name] = pick(rng, [[record[name]], {"tuple": [record[name]]}])


def other_schema(tree, rng):
    """Change what the file says of itself."""
    tree[pick(rng, ["schema", "skae"])] = pick(rng, [2**31, -1, None, [], {"dict": []}, 1.0, 10**4000])


TREES = [wrong_attribute, wrong_attribute, other_names, other_sizes, other_class, deep, other_schema]


def other_arrays(header, rng):
    """Change what the header of the arrays says."""
    name = pick(rng, sorted(header))
    entry = header[name]
    kind = rng.integers(6)
    if kind == 0:
        entry["shape"] = pick(rng, [[2**62, 4], [-1], [2**33, 2**33], [*entry["shape"], 2], [1] * 70, "a", None])
    elif kind == 1:
        entry["dtype"] = pick(rng, [d for d in ("F64", "I32", "BOOL", "C128", "", 8) if d != entry["dtype"]])
    elif kind == 2:
        entry["data_offsets"] = pick(rng, [[0, 2**62], [5, 1], [-1, 4], [2**63, 2**64], []])
    elif kind == 3:
        del header[name]
    elif kind == 4:
        header[pick(rng, ["another", "../../tmp/skae", "", "a" * 10**5])] = header.pop(name)
    else:
        header["empty"] = {"dtype": "F32", "shape": [0, 2**60], "data_offsets": [0, 0]}


def invalid_file(data, rng):
    """Return a file with a valid hash that describes no estimator."""
    text, weights = parts(data)
    if rng.integers(3):
        tree = json.loads(text)
        pick(rng, TREES)(tree, rng)
        return with_hash(json.dumps(tree).encode(), weights)
    (n,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + n])
    other_arrays(header, rng)
    changed = json.dumps(header).encode()
    n_said = pick(rng, [len(changed)] * 9 + [2**62])
    return with_hash(text, struct.pack("<Q", n_said) + changed + weights[8 + n :])


# ---- perhaps valid -------------------------------------------------------------------------------------------


def changed_file(data, rng):
    """Return a file with a valid hash and some other bytes, or with a part of its JSON in the place of another."""
    text, weights = parts(data)
    if rng.integers(2):
        changed = np.frombuffer(text + weights, dtype=np.uint8).copy()
        places = rng.integers(len(changed), size=rng.integers(1, 4))
        changed[places] = rng.integers(256, size=len(places))
        return with_hash(changed[: len(text)].tobytes(), changed[len(text) :].tobytes())
    tree = json.loads(text)
    paths = list(nodes(tree))
    path, other = pick(rng, paths), pick(rng, paths)
    node(tree, path[:-1])[path[-1]] = copy.deepcopy(node(tree, other))
    return with_hash(json.dumps(tree).encode(), weights)
