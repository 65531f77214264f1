"""Compiled inner loops of SevenNet: the convolution over edges, forwards and backwards.

Features are flat arrays: for each degree l a block of shape (atoms, 2l+1, channels). Edges are sorted by the
atom they end at. A path couples degree l1 of the neighbour and degree l2 of the edge's spherical harmonics to
degree l3; its coupling coefficients are a list of pairs (m1, m3), each with its terms over m2. The innermost
loops run over channels of slices, which compile to vector instructions. The compiled code is kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Columns of the table of paths.
DIMENSION, CHANNELS, IN_START, IN_STRIDE, WEIGHT_START, OUT_START, OUT_STRIDE, OUT_CHANNELS = range(8)
FIRST_PAIR, LAST_PAIR = 8, 9

# Sums may be reordered (for vector instructions); infinities and NaN keep their meaning.
_compiled = njit(cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy", nogil=True)


@_compiled
def convolve(
    features, radial, harmonics, first_edge, source, radial_row, paths, pairs, term_m2, term_value, out
):
    """Add to `out` the messages of all edges: radial weight × coupling(neighbour's features, harmonics).

    Shapes: features flat; radial (rows, weights); harmonics (edges, (lmax+1)²); first_edge (atoms + 1,);
    source, radial_row (edges,); paths (paths, 10); pairs (pairs, 4): m1, m3, first and last term;
    term_m2, term_value (terms,); out flat.
    """
    weighted = np.empty((paths[:, DIMENSION].max(), paths[:, CHANNELS].max()), dtype=features.dtype)
    for atom in range(len(first_edge) - 1):
        for edge in range(first_edge[atom], first_edge[atom + 1]):
            for path in range(len(paths)):
                channels = paths[path, CHANNELS]
                x_start = paths[path, IN_START] + source[edge] * paths[path, IN_STRIDE]
                out_start = paths[path, OUT_START] + atom * paths[path, OUT_STRIDE]
                w_start = paths[path, WEIGHT_START]
                w = radial[radial_row[edge], w_start : w_start + channels]
                for m1 in range(paths[path, DIMENSION]):
                    x = features[x_start + m1 * channels : x_start + (m1 + 1) * channels]
                    wx = weighted[m1]
                    for u in range(channels):
                        wx[u] = w[u] * x[u]
                for pair in range(paths[path, FIRST_PAIR], paths[path, LAST_PAIR]):
                    coupling = features.dtype.type(0)
                    for term in range(pairs[pair, 2], pairs[pair, 3]):
                        coupling += term_value[term] * harmonics[edge, term_m2[term]]
                    wx = weighted[pairs[pair, 0]]
                    y_start = out_start + pairs[pair, 1] * paths[path, OUT_CHANNELS]
                    y = out[y_start : y_start + channels]
                    for u in range(channels):
                        y[u] += coupling * wx[u]


@_compiled
def convolve_backwards(
    out_gradient,
    features,
    radial,
    harmonics,
    first_edge,
    source,
    radial_row,
    paths,
    pairs,
    term_m2,
    term_value,
    features_gradient,
    radial_gradient,
    harmonics_gradient,
):
    """Add the gradients of `convolve` to the last three arrays, given that of its result."""
    shape = (paths[:, DIMENSION].max(), paths[:, CHANNELS].max())
    weighted = np.empty(shape, dtype=features.dtype)
    pulled = np.empty(shape, dtype=features.dtype)
    for atom in range(len(first_edge) - 1):
        for edge in range(first_edge[atom], first_edge[atom + 1]):
            for path in range(len(paths)):
                channels = paths[path, CHANNELS]
                x_start = paths[path, IN_START] + source[edge] * paths[path, IN_STRIDE]
                out_start = paths[path, OUT_START] + atom * paths[path, OUT_STRIDE]
                w_start = paths[path, WEIGHT_START]
                w = radial[radial_row[edge], w_start : w_start + channels]
                by_w = radial_gradient[radial_row[edge], w_start : w_start + channels]
                for m1 in range(paths[path, DIMENSION]):
                    x = features[x_start + m1 * channels : x_start + (m1 + 1) * channels]
                    wx, by_wx = weighted[m1], pulled[m1]
                    for u in range(channels):
                        wx[u] = w[u] * x[u]
                        by_wx[u] = 0
                for pair in range(paths[path, FIRST_PAIR], paths[path, LAST_PAIR]):
                    coupling = features.dtype.type(0)
                    for term in range(pairs[pair, 2], pairs[pair, 3]):
                        coupling += term_value[term] * harmonics[edge, term_m2[term]]
                    wx, by_wx = weighted[pairs[pair, 0]], pulled[pairs[pair, 0]]
                    y_start = out_start + pairs[pair, 1] * paths[path, OUT_CHANNELS]
                    by_y = out_gradient[y_start : y_start + channels]
                    by_coupling = features.dtype.type(0)
                    for u in range(channels):
                        by_wx[u] += coupling * by_y[u]
                        by_coupling += wx[u] * by_y[u]
                    for term in range(pairs[pair, 2], pairs[pair, 3]):
                        harmonics_gradient[edge, term_m2[term]] += term_value[term] * by_coupling
                for m1 in range(paths[path, DIMENSION]):
                    x = features[x_start + m1 * channels : x_start + (m1 + 1) * channels]
                    by_x = features_gradient[x_start + m1 * channels : x_start + (m1 + 1) * channels]
                    by_wx = pulled[m1]
                    for u in range(channels):
                        by_x[u] += w[u] * by_wx[u]
                        by_w[u] += x[u] * by_wx[u]
