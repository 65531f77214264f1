from collections import Counter

import numpy as np
import pytest

from matwheel.generators.null import rattle_crystals, resample_elements


def same(one, other):
    return one.species == other.species and np.array_equal(one.frac_coords, other.frac_coords)


def test_resampled_elements_keep_stoichiometry_cell_and_positions(jarvis_crystals):
    crystals = jarvis_crystals[0]
    made = resample_elements(crystals, 100, seed=3, id_prefix="null")
    assert [crystal.id for crystal in made[:2]] == ["null-00000", "null-00001"] and len(made) == 100
    by_cell = {crystal.lattice.tobytes() + crystal.frac_coords.tobytes(): crystal for crystal in crystals}
    changed = 0
    for crystal in made:
        source = by_cell[crystal.lattice.tobytes() + crystal.frac_coords.tobytes()]
        pairs = set(zip(source.species, crystal.species, strict=True))
        assert len(pairs) == len(set(source.species)) == len(set(crystal.species))  # one to one
        changed += source.species != crystal.species
    assert changed > 80


def test_elements_follow_their_frequency_in_training(jarvis_crystals):
    crystals = jarvis_crystals[0]
    frequency = Counter(element for crystal in crystals for element in set(crystal.species))
    made = resample_elements(crystals, 3000, seed=0, id_prefix="n")
    drawn = Counter(element for crystal in made for element in set(crystal.species))
    assert set(drawn) <= set(frequency)
    names = sorted(frequency)
    assert np.corrcoef([frequency[e] for e in names], [drawn[e] for e in names])[0, 1] > 0.95


def test_rattle_moves_atoms_and_strains_cells_by_the_stated_amounts(poly_crystals):
    crystals = poly_crystals[0]
    still = rattle_crystals(crystals, 30, seed=5, id_prefix="n", displacement_angstrom=0.0, strain=0.0)
    rattled = rattle_crystals(crystals, 2000, seed=5, id_prefix="n", displacement_angstrom=0.2, strain=0.04)
    sources = {(c.species, c.lattice.tobytes()) for c in crystals}
    assert all((c.species, c.lattice.tobytes()) in sources for c in still)
    steps, strains = [], []
    rows = np.random.default_rng(5).integers(len(crystals), size=2000)
    for made, row in zip(rattled, rows, strict=True):
        source = crystals[row]
        tensor = np.linalg.inv(source.lattice) @ made.lattice - np.eye(3)
        assert np.allclose(tensor, tensor.T)
        strains += tensor[np.triu_indices(3)].tolist()
        difference = made.frac_coords - source.frac_coords
        steps += ((difference - np.round(difference)) @ made.lattice).ravel().tolist()
    assert np.std(steps) == pytest.approx(0.2, rel=0.05)
    assert np.std(strains) == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize("make", [resample_elements, rattle_crystals])
def test_seeded_and_exactly_n(make, jarvis_crystals):
    crystals = jarvis_crystals[0]
    first, again, other = (make(crystals, 7, seed=seed, id_prefix="n") for seed in (1, 1, 2))
    assert len(first) == 7 and all(map(same, first, again)) and not all(map(same, first, other))
    assert make(crystals, 0, seed=0, id_prefix="n") == []
    with pytest.raises(ValueError, match="no training crystals"):
        make([], 5, seed=0, id_prefix="n")
