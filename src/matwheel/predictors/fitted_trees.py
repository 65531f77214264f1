"""Fitted trees of scikit-learn as arrays of a file, with the versions that can read them.

Trees that are grown again at load would silently be others after an upgrade. They are stored as they were
fitted, by joblib, and another version of a library that they are made of is refused by name. Like every
pickled file they are for whoever made them: joblib runs what a file says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from matwheel.core.errors import InputError

LIBRARIES = ("scikit-learn", "numpy")


def stored_trees(model: Any) -> dict[str, Any]:
    """Return a fitted model as `trees` (bytes) and `tree_versions` (JSON), for `write_arrays`."""
    import joblib

    for tree in getattr(model, "estimators_", ()):
        _clear_gaps(tree.tree_)
    written = BytesIO()
    joblib.dump(model, written)
    versions = {name: version(name) for name in LIBRARIES}
    return {"trees": np.frombuffer(written.getvalue(), np.uint8), "tree_versions": json.dumps(versions)}


def trees_of(saved: Mapping[str, Any], path: str | Path) -> Any:
    """Return the fitted model of an open file.

    Args:
        saved: what `numpy.load` returned.
        path: of the file, for messages.

    Raises:
        InputError: the trees are of another version of a library.
        KeyError: the file holds no trees.
    """
    import joblib

    for name, theirs in json.loads(str(saved["tree_versions"])).items():
        if theirs != version(name):
            raise InputError(
                f"{path}: trees of {name} {theirs}, installed is {version(name)}; fit the model again "
                "(delete the file and run the workflow) or install that version"
            )
    return joblib.load(BytesIO(saved["trees"].tobytes()))


def _clear_gaps(tree: Any) -> None:
    """Set to 0 what nobody writes or reads in a tree's nodes; it holds whatever memory held before.

    These are the bytes between the fields, and where missing values go in a leaf.
    """
    state = tree.__getstate__()
    nodes = np.zeros(len(state["nodes"]), state["nodes"].dtype)  # zeros_like leaves the gaps as they are
    for name in nodes.dtype.names:
        nodes[name] = state["nodes"][name]
    nodes["missing_go_to_left"][nodes["left_child"] < 0] = 0
    tree.__setstate__({**state, "nodes": nodes})
