"""The estimate of the volume per atom from a composition."""

import numpy as np
import pytest

from matwheel.compositions.formulas import ELEMENTS, formula_counts
from matwheel.core.errors import InputError
from matwheel.wyckoff.volume_estimate import (
    ELEMENT_CLASSES,
    fit_volume_estimate,
    load_volume_estimate,
)

# Volumes per atom (Å³) of well-known crystals, from their measured lattice constants.
MEASURED = {
    "NaCl": 5.640**3 / 8,
    "KCl": 6.292**3 / 8,
    "MgO": 4.212**3 / 8,
    "CaO": 4.811**3 / 8,
    "LiF": 4.026**3 / 8,
    "NaF": 4.634**3 / 8,
    "KF": 5.347**3 / 8,
    "LiCl": 5.140**3 / 8,
    "SrO": 5.160**3 / 8,
    "CaS": 5.695**3 / 8,
    "MgS": 5.200**3 / 8,
    "Al": 4.050**3 / 4,
    "Cu": 3.615**3 / 4,
    "Ag": 4.086**3 / 4,
    "GaAs": 5.653**3 / 8,
    "ZnS": 5.409**3 / 8,
}


def _fitted():
    return fit_volume_estimate(formula_counts(list(MEASURED)), list(MEASURED.values()))


def test_every_element_is_in_one_class():
    assert sorted(" ".join(ELEMENT_CLASSES).split()) == sorted(ELEMENTS)


def test_fits_its_own_crystals_and_does_not_depend_on_the_multiple():
    estimate = _fitted()
    counts = formula_counts(list(MEASURED))
    found = estimate.volume_angstrom3_per_atom(counts)
    assert np.abs(found / list(MEASURED.values()) - 1).max() < 0.2
    assert np.median(np.abs(found / list(MEASURED.values()) - 1)) < 0.05
    np.testing.assert_allclose(estimate.volume_angstrom3_per_atom(3 * counts), found, rtol=1e-12)


def test_corrects_the_plain_sum_where_an_ion_is_smaller_than_an_atom():
    """Made-up crystals: B is 12 Å³ alone, 18 with A; a sum of atomic volumes cannot say both."""
    formulas = ["Na", "Mg", "Cl2Na", "Cl2Mg", "ClNa", "ClMg", "NaMg", "Na3Mg"]
    volumes = [30.0, 20.0, 18.0, 15.0, 20.0, 15.0, 25.0, 27.5]
    counts = formula_counts(formulas)
    estimate = fit_volume_estimate(counts, volumes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    plain = np.abs(shares @ estimate.element_volumes / volumes - 1).mean()
    corrected = np.abs(estimate.volume_angstrom3_per_atom(counts) / volumes - 1).mean()
    assert corrected < 0.8 * plain


def test_an_element_without_data_counts_with_the_mean_and_is_named():
    estimate = _fitted()
    assert "Xe" in estimate.elements_without_data and "Na" not in estimate.elements_without_data
    known = estimate.element_volumes[estimate.has_data]
    (xenon,) = estimate.volume_angstrom3_per_atom(formula_counts(["Xe"]))
    assert known.min() < xenon < known.max()


def test_saved_and_loaded_is_the_same(tmp_path):
    estimate, counts = _fitted(), formula_counts(["NaCl", "MgCa2O3"])
    for name in ("one.npz", "two.npz"):
        estimate.save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    loaded = load_volume_estimate(tmp_path / "one.npz")
    expected = estimate.volume_angstrom3_per_atom(counts)
    assert (loaded.volume_angstrom3_per_atom(counts) == expected).all()
    (tmp_path / "other.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"other\.npz.*fit it anew"):
        load_volume_estimate(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("counts", "volumes", "match"),
    [
        (np.ones((2, 5)), [1, 1], "shape"),
        (np.zeros((1, 103)), [1], "row 0"),
        (np.ones((2, 103)), [10.0], "one each"),
        (np.ones((2, 103)), [10.0, -1], "row 1"),
    ],
)
def test_wrong_data_are_refused(counts, volumes, match):
    with pytest.raises(InputError, match=match):
        fit_volume_estimate(counts, volumes)
