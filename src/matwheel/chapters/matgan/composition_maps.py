"""Maps of composition space and distributions of predicted properties (figures 3, 4b, 6 and 7 of MatGAN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.errors import InputError
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import settings
from matwheel.figures.figures import GREY, look, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BANDWIDTH_RULE = 0.9
_LARGEST_ROWS = 20_000


@settings
class MapSettings:
    """Settings of a t-SNE map (van der Maaten & Hinton, J. Mach. Learn. Res. 9, 2579, 2008)."""

    largest_points: Annotated[int, Field(ge=10, le=1_000_000)] = 6000
    """Points of the map at most; larger groups are thinned at random, in proportion."""
    principal_components: Annotated[int, Field(ge=2, le=680)] = 50
    """Numbers per composition that are left for t-SNE."""
    perplexity: Annotated[float, Field(gt=1)] = 30.0
    """Effective number of neighbours."""
    iterations: Annotated[int, Field(ge=250, le=100_000)] = 500
    """Steps of the optimiser."""


def composition_map(
    groups: Mapping[str, NDArray[np.integer]], *, settings: MapSettings | None = None, seed: int
) -> pd.DataFrame:
    """Place compositions on a plane by t-SNE of their 8 × 85 matrices, after a principal component analysis.

    Args:
        groups: name of the group, e.g. 'training' → counts of atoms, shape (n, k), at most 8 of each element.
            Groups without rows are left out.
        seed: of the thinning and of t-SNE.

    Returns:
        One row per point, in the order of the groups: group, row (of the group's counts), x, y.

    Raises:
        InputError: fewer than ten points, or an amount above 8.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    from matwheel.generators.matgan.representation import MOST_ATOMS, encode

    settings = settings or MapSettings()
    total = sum(len(counts) for counts in groups.values())
    names, rows, cells = [], [], []
    for name, counts in groups.items():
        wanted = len(counts)
        if total > settings.largest_points:
            # A small group keeps a point, so that it is seen.
            wanted = min(len(counts), max(1, int(len(counts) * settings.largest_points / total)))
        generator = np.random.default_rng(derive_seed(seed, "map", name))
        chosen = np.sort(generator.permutation(len(counts))[:wanted])
        names += [name] * wanted
        rows.append(chosen)
        cells.append(encode(counts[chosen]).reshape(wanted, MOST_ATOMS * counts.shape[1]))
    if len(names) < 10:
        raise InputError(f"{len(names)} compositions are too few for a map; give at least 10")
    matrix = np.concatenate(cells)
    components = min(settings.principal_components, *matrix.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(matrix.astype(np.float64))
    plane = TSNE(
        2,
        init="pca",
        perplexity=min(settings.perplexity, (len(names) - 1) / 3),
        max_iter=settings.iterations,
        random_state=derive_seed(seed, "t-SNE"),
        n_jobs=1,
    ).fit_transform(reduced)
    return pd.DataFrame({"group": names, "row": np.concatenate(rows), "x": plane[:, 0], "y": plane[:, 1]})


@styled
def draw_composition_maps(
    points: pd.DataFrame, panels: Sequence[Sequence[str]], *, title: str = ""
) -> Figure:
    """Draw one map per panel, side by side on the same axes (figures 3 and 7).

    Points are drawn as a bitmap inside the figure, so that its file stays small.

    Args:
        points: from `composition_map`.
        panels: the groups of each panel, the first one drawn at the bottom. A group keeps its colour.

    Raises:
        InputError: no panel, or a panel names a group without points.
    """
    at_hand = list(dict.fromkeys(points["group"]))
    for name in (name for panel in panels for name in panel):
        if name not in at_hand:
            raise InputError(f"the map has no points of {name!r}; it has {', '.join(at_hand)}")
    if not panels:
        raise InputError("no panel to draw; name the groups of at least one")
    colours = {name: look(place)[0] for place, name in enumerate(at_hand)}
    size = float(np.clip(1.5e4 / len(points), 0.6, 6.0))
    figure = new_figure(4.2 * len(panels), 4.9)
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axes, panel in zip(grid, panels, strict=True):
        for name in panel:
            own = points[points["group"] == name]
            axes.scatter(
                own["x"], own["y"], s=size, color=colours[name], lw=0, rasterized=True,
                label=f"{name.replace('_', ' ')} ({len(own):,})",
            )  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="box")
        axes.legend(
            loc="upper left", bbox_to_anchor=(0.0, -0.01), frameon=False, markerscale=4 / size**0.5,
            handletextpad=0.1, borderaxespad=0.2,
        )  # fmt: skip
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")
    figure.subplots_adjust(left=0.02, right=0.98, top=0.9, bottom=0.2, wspace=0.05)
    return figure


def wasserstein_table(
    values: Mapping[str, NDArray[np.float64]], reference: str, *, seed: int, replicates: int = 200
) -> pd.DataFrame:
    """Return how far the distributions of a property are from that of a reference set.

    The distance of two equal distributions is above 0 at finite numbers of rows; the row named
    '<reference>, two halves' is such a distance, of two random halves of the reference.

    Args:
        values: name of the set → property of its rows, shape (n,).
        reference: the set that the others are compared to.
        seed: of the thinning of sets with more than 20,000 rows, and of the bootstrap.
        replicates: bootstrap replicates, rows of both sets drawn with replacement.

    Returns:
        One row per set, the reference first: set, rows (all of them), median, quartile_low, quartile_high and
        the first Wasserstein distance with its 95 % percentile interval distance_low, distance_high, in the
        unit of the property; the distance of the reference itself is that of its halves. Drawing rows twice
        adds noise, so near distance 0 the interval lies above the distance itself.

    Raises:
        InputError: an unknown reference, a set with fewer than two rows, or values that are not finite.
    """
    from scipy.stats import wasserstein_distance

    if reference not in values:
        raise InputError(f"no set {reference!r} to compare to; there are {', '.join(values)}")
    thinned = {}
    for name, numbers in values.items():
        numbers = np.asarray(numbers, dtype=np.float64)
        if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
            raise InputError(f"{name}: give at least two finite values, one per row")
        order = np.random.default_rng(derive_seed(seed, "thinning", name)).permutation(len(numbers))
        thinned[name] = numbers[order[:_LARGEST_ROWS]]
    half = len(thinned[reference]) // 2
    table = []
    for name in (reference, *(name for name in values if name != reference)):
        one, two = thinned[name], thinned[reference]
        if name == reference:
            one, two = two[:half], two[half:]
        generator = np.random.default_rng(derive_seed(seed, "bootstrap", name))
        drawn = [
            wasserstein_distance(
                one[generator.integers(len(one), size=len(one))],
                two[generator.integers(len(two), size=len(two))],
            )
            for _ in range(replicates)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        quartiles = np.percentile(values[name], [25, 50, 75])
        table.append(
            {
                "set": f"{name}, two halves" if name == reference else name,
                "rows": len(values[name]),
                "median": quartiles[1],
                "quartile_low": quartiles[0],
                "quartile_high": quartiles[2],
                "distance": wasserstein_distance(one, two),
                "distance_low": low,
                "distance_high": high,
            }
        )
    return pd.DataFrame(table)


@styled
def draw_property_distributions(
    values: Mapping[str, NDArray[np.float64]],
    *,
    label: str,
    title: str = "",
    distances: pd.DataFrame | None = None,
    lowest: float | None = None,
) -> Figure:
    """Draw the densities of a predicted property, with medians (figures 4b and 6).

    At the right each set has its number of rows, its median and, with `distances`, how far its distribution
    is from that of the reference.

    Args:
        values: name of the set → property of its rows, shape (n,), e.g. formation energies of generated and
            of training Li compounds.
        label: words for the property, with its unit.
        distances: from `wasserstein_table`.
        lowest: smallest value the property can have, e.g. 0 for a band gap; nothing is drawn below.

    Raises:
        InputError: no sets, or a set with fewer than two finite rows.
    """
    if not values:
        raise InputError("no set of values to draw")
    for name, numbers in values.items():
        if np.ndim(numbers) != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
            raise InputError(f"{name}: give at least two finite values, one per row")
    ends = np.array([np.percentile(numbers, [0.2, 99.8]) for numbers in values.values()])
    left, right = float(ends[:, 0].min()), float(ends[:, 1].max())
    margin = 0.05 * (right - left or 1.0)
    left, right = left - margin, right + margin
    if lowest is not None:
        left = max(left, lowest)
    grid = np.linspace(left, right, 400)
    figure = new_figure(8.6, 3.9)
    axes = figure.subplots()
    for place, (name, numbers) in enumerate(values.items()):
        colour = look(place)[0]
        density = kernel_density(np.asarray(numbers, dtype=np.float64), grid, lowest=lowest)
        axes.plot(grid, density, color=colour, lw=1.8)
        axes.fill_between(grid, density, color=colour, alpha=0.12, lw=0)
        axes.axvline(float(np.median(numbers)), color=colour, lw=1, ls="--")
        _describe(axes, place, name, np.asarray(numbers), colour, distances)
    axes.set_xlim(left, right)
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.set_ylabel("density")
    axes.set_xlabel(f"{label}; dashed: medians")
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")
    figure.subplots_adjust(left=0.06, right=0.68, top=0.88, bottom=0.15)
    return figure


def kernel_density(
    values: NDArray[np.float64], grid: NDArray[np.float64], *, lowest: float | None = None
) -> NDArray[np.float64]:
    """Return a Gaussian kernel density of values on a grid, for millions of values at once.

    The bandwidth is Silverman's (Density Estimation, 1986, equation 3.31); values are binned to a tenth of it
    or finer. With `lowest` the density is mirrored there, so that nothing is lost below the edge.

    Args:
        values: shape (n,), n ≥ 2.
        grid: where the density is wanted, evenly spaced and rising, shape (m,).
        lowest: smallest value that can occur.

    Returns:
        Shape (m,); its integral over all numbers is 1.
    """
    from scipy.ndimage import gaussian_filter1d

    low, high = np.percentile(values, [25, 75])
    spread = min(values.std(), (high - low) / 1.34) or values.std() or (grid[-1] - grid[0]) / 100
    bandwidth = max(_BANDWIDTH_RULE * spread * len(values) ** -0.2, (grid[1] - grid[0]) / 2)
    step = bandwidth / 10
    first, last = min(values.min(), grid[0]) - 5 * bandwidth, max(values.max(), grid[-1]) + 5 * bandwidth
    if lowest is not None:
        # Bins are laid out from the edge, so that mirroring maps bins onto bins.
        bins = int(np.ceil((last - lowest) / step))
        edges = lowest + step * np.arange(bins + 1)
        mode: Literal["reflect", "constant"] = "reflect"
    else:
        bins = int(np.ceil((last - first) / step))
        edges = first + step * np.arange(bins + 1)
        mode = "constant"
    inside = values if lowest is None else np.maximum(values, lowest)
    heights = np.histogram(inside, edges)[0] / (len(values) * step)
    smooth = gaussian_filter1d(heights, bandwidth / step, mode=mode, truncate=5.0)
    return np.interp(grid, (edges[1:] + edges[:-1]) / 2, smooth)


def _describe(
    axes: Axes,
    place: int,
    name: str,
    numbers: NDArray[np.float64],
    colour: str,
    distances: pd.DataFrame | None,
) -> None:
    """Write name, rows, median and distance of a set beside the axes."""
    top = 0.98 - 0.25 * place
    axes.text(
        1.03, top, name.replace("_", " "), transform=axes.transAxes, color=colour, fontweight="bold", va="top"
    )
    lines = [f"{len(numbers):,} rows, median {np.median(numbers):.3g}"]
    if distances is not None:
        rows = distances[distances["set"].isin([name, f"{name}, two halves"])]
        if len(rows):
            row = rows.iloc[0]
            what = "distance" if row["set"] == name else "its two halves apart"
            lines.append(
                f"{what} {row['distance']:.3g} ({row['distance_low']:.3g} to {row['distance_high']:.3g})"
            )
    axes.text(1.03, top - 0.075, "\n".join(lines), transform=axes.transAxes, color=GREY, fontsize=8, va="top")
