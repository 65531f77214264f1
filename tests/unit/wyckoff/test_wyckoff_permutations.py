"""Permutations of Wyckoff letters, against published tables and against real crystals."""

import json
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import pyxtal
import spglib
from pymatgen.analysis.prototypes import WYCKOFF_POSITION_RELAB_DICT
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pyxtal.symmetry import Group

from matwheel.compositions.formulas import ELEMENTS
from matwheel.crystals.crystal import to_structure
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.wyckoff.wyckoff_genes import (
    GeneArrays,
    fault_of_gene,
    gene_arrays,
    gene_of_crystal,
    make_gene,
    parse_gene,
)
from matwheel.wyckoff.wyckoff_permutations import (
    augmented,
    canonical_gene,
    canonical_keys,
    coset_representatives,
    equivalent_genes,
    letter_permutations,
)
from matwheel.wyckoff.wyckoff_positions import LETTERS, wyckoff_positions

POLY40 = Path(__file__).parents[2] / "data" / "poly40.parquet"
GROUPS = range(1, 231)
CRYSTALS = {  # of the 40, one per space group
    *("poly-0026", "poly-0079", "poly-0132", "poly-0158", "poly-0211", "poly-0290", "poly-0316"),
    *("poly-0343", "poly-0396", "poly-0448", "poly-0528", "poly-0633", "poly-0369", "poly-0739"),
    *("poly-0765", "poly-0844", "poly-0871", "poly-1003"),
}
CELLS = np.array(list(product(range(-3, 4), repeat=3)))


def as_set(permutations):
    return set(map(tuple, np.asarray(permutations).tolist()))


def pyxtal_table():
    return json.loads((Path(pyxtal.__file__).parent / "database" / "wyckoff_sets.json").read_text())


def pymatgen_permutations(space_group):
    """pymatgen's table: code of a letter to the letter it becomes; places beyond the letters stay."""
    rows = []
    for relabelling in WYCKOFF_POSITION_RELAB_DICT[str(space_group)]:
        row = list(range(len(LETTERS)))
        for code, letter in relabelling.items():
            row[LETTERS.index(chr(code))] = LETTERS.index(letter)
        rows.append(row)
    return as_set(rows)


def operations(space_group):
    """Operations in pyxtal's setting, from spglib's own tables: {(linear part, translation in 1/24)}."""
    found = spglib.get_symmetry_from_database(Group(space_group).hall_number)
    return [
        (rotation.astype(int), translation)
        for rotation, translation in zip(found["rotations"], found["translations"], strict=True)
    ]


def signature(linear, translation):
    return (*linear.ravel().tolist(), *(np.rint(np.asarray(translation) * 24).astype(int) % 24).tolist())


def conjugated(linear, translation, space_group):
    """The operations as they read after x → linear x + translation."""
    inverse = np.rint(np.linalg.inv(linear)).astype(int)
    for rotation, shift in operations(space_group):
        turned = linear @ rotation @ inverse
        yield signature(turned, linear @ shift + translation - turned @ translation)


def located(space_group, point, tolerance=1e-4):
    """The place of the most special position on which a point lies, and its free coordinates.

    By brute force: some M q + v of the position, moved by some whole cells, is the point.
    """
    positions = {position.letter: position for position in Group(space_group)}
    for place, letter in enumerate(LETTERS[: len(positions)]):
        for operation in positions[letter].ops:
            linear, shift = operation.affine_matrix[:3, :3], operation.affine_matrix[:3, 3]
            targets = np.asarray(point) % 1 - shift + CELLS
            free = targets @ np.linalg.pinv(linear).T
            hits = np.flatnonzero(np.abs(free @ linear.T - targets).max(axis=1) < tolerance)
            if len(hits):
                return place, free[hits[0]], linear @ free[hits[0]] + shift
    raise AssertionError("a point on no position")


def orbit(space_group, place, free):
    """All points of a Wyckoff position in one cell, from its free coordinates."""
    position = next(own for own in Group(space_group) if own.letter == LETTERS[place])
    return np.array([operation.operate(free) for operation in position.ops]) % 1


def sites_of_atoms(space_group, species, points):
    """Orbits of a conventional cell in a fixed setting: (element, place, all points of the orbit)."""
    left = list(range(len(points)))
    sites = []
    while left:
        atom = left[0]
        place, free, _ = located(space_group, points[atom])
        whole = orbit(space_group, place, free)
        own = [
            other
            for other in left
            if np.abs((whole - points[other] + 0.5) % 1 - 0.5).max(axis=1).min() < 1e-3
        ]
        assert atom in own
        assert {species[other] for other in own} == {species[atom]}
        assert len(own) == len(whole)
        sites.append((species[atom], place, whole))
        left = [other for other in left if other not in own]
    return sites


def random_genes(number, seed=0):
    draw = random.Random(seed)
    made = []
    for row in range(number):
        group = row % 230 + 1
        letters = LETTERS[: int(wyckoff_positions().exists[group].sum())]
        elements = draw.sample(ELEMENTS[:20], draw.randint(1, 4))
        sites = [(own, draw.choice(letters), 1) for own in elements for _ in range(draw.randint(1, 3))]
        made.append(make_gene(group, sites))
    return made


def test_permutations_and_numbers_of_cosets_are_those_of_pyxtal():
    table = pyxtal_table()
    for group in GROUPS:
        own = table[str(group)]
        rows = []
        for text in own["Transformed WP"]:
            row = [LETTERS.index(letter) for letter in text.split()]
            rows.append(row + list(range(len(row), len(LETTERS))))
        assert as_set(letter_permutations(group)) == as_set(rows), group
        assert len(coset_representatives(group)) == len(own["Coset Representative"]), group


def test_permutations_are_those_of_pymatgen_but_for_group_15():
    different = [
        group for group in GROUPS if as_set(letter_permutations(group)) != pymatgen_permutations(group)
    ]
    assert different == [15]


def test_the_four_more_of_pymatgen_in_group_15_shear_the_cell():
    shear, shift = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]]), np.array([0.25, 0.25, 0])
    # It turns C2/c into itself …
    assert set(conjugated(shear, shift, 15)) == {signature(*own) for own in operations(15)}
    # … and gives, with the permutations of the Euclidean normaliser, all that pymatgen has …
    generic = np.array([0.1234, 0.2718, 0.3142])
    sheared = np.arange(len(LETTERS))
    for position in Group(15):
        moved = shear @ position.ops[0].operate(generic) + shift
        sheared[LETTERS.index(position.letter)] = located(15, moved)[0]
    assert "".join(LETTERS[place] for place in sheared[:6]) in ("cdabef", "cdbaef", "dcabef", "dcbaef")
    ours = letter_permutations(15)
    assert as_set(ours) | as_set(sheared[ours]) == pymatgen_permutations(15)
    assert len(pymatgen_permutations(15)) == 8
    # … but it is no isometry of a monoclinic lattice, for it turns β = 90° into another angle.
    lattice = np.diag([5.0, 6.0, 7.0])
    new = np.linalg.inv(shear).T @ lattice
    assert abs(new[0] @ new[2]) > 1
    for linear, _, _ in coset_representatives(15):
        new = np.linalg.inv(linear).T @ lattice
        assert np.allclose(new @ new.T, lattice @ lattice.T)


def test_permutations_are_a_group_that_keeps_the_kind_of_position():
    positions = wyckoff_positions()
    for group in GROUPS:
        permutations = letter_permutations(group)
        assert permutations[0].tolist() == list(range(len(LETTERS)))
        assert permutations.tolist() == sorted(permutations.tolist())
        own = as_set(permutations)
        assert len(own) == len(permutations)
        assert all(as_set(one[permutations]) == own for one in permutations)
        for kept in (positions.multiplicity[group], positions.free_coordinates[group]):
            assert (kept[permutations] == kept).all()
    with pytest.raises(ValueError, match="read-only"):
        letter_permutations(225)[0, 0] = 1


@pytest.mark.parametrize("number", [0, 231])
def test_a_number_that_is_no_space_group_is_refused(number):
    with pytest.raises(ValueError, match=r"1 … 230"):
        letter_permutations(number)


@pytest.mark.parametrize("group", [1, 2, 15, 19, 43, 47, 62, 70, 75, 146, 161, 166, 180, 194, 212, 216, 230])
def test_representatives_turn_the_group_into_itself_and_lie_in_different_cosets(group):
    whole = {signature(*own) for own in operations(group)}
    cosets = set()
    for linear, translation, permutation in coset_representatives(group):
        assert set(conjugated(linear, translation, group)) == whole
        coset = frozenset(
            signature(linear @ rotation, linear @ shift + translation)
            for rotation, shift in operations(group)
        )
        assert coset not in cosets
        cosets.add(coset)
        assert tuple(permutation.tolist()) in as_set(letter_permutations(group))
    first = coset_representatives(group)[0]
    assert (first.linear == np.eye(3)).all()
    assert not first.translation.any()
    assert (first.permutation == np.arange(27)).all()


def test_rock_salt_half_heusler_and_a_gene_without_equivalents():
    assert equivalent_genes(parse_gene("225 Na:b Cl:a")) == [
        parse_gene("225 Na:b Cl:a"),
        parse_gene("225 Na:a Cl:b"),
    ]
    assert canonical_gene(parse_gene("225 Na:b Cl:a")) == parse_gene("225 Na:a Cl:b")
    # Of the 24 ways to put three elements on a, b, c, d, each has 8 equivalent ones: three compounds.
    ways = {f"216 Hf:{x} Ni:{y} Sn:{z}" for x, y, z in product("abcd", repeat=3) if len({x, y, z}) == 3}
    assert len({canonical_gene(parse_gene(way)) for way in ways}) == 3
    assert equivalent_genes(parse_gene("186 Mg:b Te:b")) == [parse_gene("186 Mg:b Te:b")]
    assert len(equivalent_genes(parse_gene("47 H:A Li:a O:t"))) == 48 / 2
    assert all("H:A" in str(gene) for gene in equivalent_genes(parse_gene("47 H:A Li:a O:t")))


def test_equivalents_are_distinct_sorted_and_name_each_other():
    for gene in random_genes(920):
        equivalents = equivalent_genes(gene)
        assert equivalents[0] == gene
        assert equivalents[1:] == sorted(set(equivalents) - {gene})
        assert canonical_gene(canonical_gene(gene)) == canonical_gene(gene) == min(equivalents)
        assert all(parse_gene(str(other)) == other for other in equivalents)
        other = equivalents[-1]
        assert set(equivalent_genes(other)) == set(equivalents)
        assert canonical_gene(other) == canonical_gene(gene)
        assert (other.atoms, other.free_coordinates) == (gene.atoms, gene.free_coordinates)
        assert bool(fault_of_gene(other)) == bool(fault_of_gene(gene))


def test_keys_are_equal_exactly_for_equivalent_genes():
    # Few elements, so that many of the genes that are not equivalent differ in their letters only.
    draw = random.Random(3)
    genes = []
    for group in (1, 2, 15, 47, 62, 71, 139, 166, 216, 225):
        letters = LETTERS[: min(6, int(wyckoff_positions().exists[group].sum()))]
        for _ in range(400):
            elements = draw.choice((("Na", "Cl"), ("K", "Cl"), ("Na", "K", "Cl")))
            genes.append(
                make_gene(group, [(own, draw.choice(letters), draw.randint(1, 2)) for own in elements])
            )
    genes += [draw.choice(equivalent_genes(gene)) for gene in genes]
    keys = canonical_keys(gene_arrays(genes))
    assert keys.dtype == np.uint64
    canonical = [canonical_gene(gene) for gene in genes]
    pairs = set(zip(keys.tolist(), canonical, strict=True))
    assert len(pairs) == len(set(keys.tolist())) == len(set(canonical))
    assert 500 < len(pairs) < len(genes) / 2
    assert (keys[: len(keys) // 2] == keys[len(keys) // 2 :]).all()


def test_keys_tell_groups_elements_numbers_and_slots_apart_and_need_no_neighbours():
    texts = ["225 Na:a Cl:b", "225 K:a Cl:b", "221 Na:a Cl:b", "225 Na:e Cl:b", "225 Na:e2 Cl:b"]
    texts += ["225 Na:b Cl:e", "225 Na:a", "225 Cl:a", "1 Na:a Cl:a", "1 Na:a2 Cl:a", "1 Na:a Cl:a2"]
    arrays = gene_arrays([parse_gene(text) for text in texts])
    keys = canonical_keys(arrays)
    assert len(set(keys.tolist())) == len(texts)
    order = np.arange(len(texts))[::-1]
    assert (canonical_keys(arrays[order]) == keys[order]).all()
    assert (canonical_keys(arrays[2:3]) == keys[2:3]).all()
    assert len(canonical_keys(arrays[:0])) == 0


def test_keys_of_many_random_genes_do_not_collide():
    draw = np.random.default_rng(0)
    letters = np.zeros((60_000, 4, 27), dtype=np.uint8)
    letters[:, :3, :4] = draw.integers(0, 3, size=(60_000, 3, 4))
    elements = np.tile(np.array([11, 26, 17, 0], dtype=np.int16), (60_000, 1))
    group = np.full(60_000, 186, dtype=np.int16)  # one permutation only: each gene is its own canonical form
    assert len(letter_permutations(186)) == 1
    keys = canonical_keys(GeneArrays(group, elements, letters))
    assert len(np.unique(keys)) == len(np.unique(letters.reshape(60_000, -1), axis=0))


def test_augmented_rows_keep_their_origin_and_repeat_no_gene():
    genes = [
        parse_gene(text)
        for text in ("225 Na:a Cl:b", "186 Mg:b Te:b", "216 Ge:a Hf:b Ni:c", "225 Na:b Cl:a", "225 O:a")
    ]
    rows = augmented(genes)
    assert [row for row, _ in rows] == [0] * 2 + [1] + [2] * 8 + [3] * 2 + [4] * 2
    assert len(set(rows)) == len(rows)
    for row, gene in enumerate(genes):
        assert [own for number, own in rows if number == row] == equivalent_genes(gene)
    assert augmented([]) == []


@pytest.fixture(scope="module")
def standard_crystals():
    """(Crystal, gene, lattice, species, points) in the conventional cell and setting of pyxtal's tables."""
    standard = []
    for crystal in crystals_of_table(read_table(POLY40)):
        if crystal.id not in CRYSTALS:
            continue
        gene = gene_of_crystal(crystal)
        elements = sorted(set(crystal.species))
        numbers = [elements.index(symbol) for symbol in crystal.species]
        dataset = spglib.get_symmetry_dataset(
            (crystal.lattice, crystal.frac_coords, numbers),
            symprec=0.1,
            hall_number=Group(gene.space_group).hall_number,
        )
        species = [elements[number] for number in dataset.std_types]
        standard.append((crystal, gene, dataset.std_lattice, species, dataset.std_positions))
    return standard


def test_letters_of_a_transformed_crystal_are_the_permuted_letters(standard_crystals):
    """What is moved is the crystal; its letters are read in the setting, which stays where it was."""
    assert len(standard_crystals) == len({gene.space_group for _, gene, *_ in standard_crystals}) >= 18
    for crystal, gene, _, species, points in standard_crystals:
        sites = sites_of_atoms(gene.space_group, species, points)
        assert canonical_gene(
            make_gene(gene.space_group, [(own, LETTERS[place], 1) for own, place, _ in sites])
        ) == canonical_gene(gene), crystal.id
        reached = set()
        for linear, translation, permutation in coset_representatives(gene.space_group):
            found = [located(gene.space_group, linear @ whole[0] + translation)[0] for _, _, whole in sites]
            expected = [int(permutation[place]) for _, place, _ in sites]
            assert found == expected, crystal.id
            reached.add(
                make_gene(
                    gene.space_group,
                    [(own, LETTERS[place], 1) for (own, *_), place in zip(sites, found, strict=True)],
                )
            )
        assert reached == set(equivalent_genes(gene))


def test_a_crystal_rebuilt_from_an_equivalent_gene_is_the_same_crystal(standard_crystals):
    matcher = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1, scale=False)
    for crystal, gene, lattice, species, points in standard_crystals:
        sites = sites_of_atoms(gene.space_group, species, points)
        choices = coset_representatives(gene.space_group)
        for linear, translation, permutation in {
            id(own): own for own in (choices[-1], choices[-2:][0])
        }.values():
            elements, rebuilt, letters = [], [], []
            for element, place, whole in sites:
                new_place, free, _ = located(gene.space_group, linear @ whole[0] + translation)
                assert new_place == permutation[place]
                new_points = orbit(gene.space_group, new_place, free)
                rebuilt.append(new_points)
                elements += [element] * len(new_points)
                letters.append((element, LETTERS[new_place], 1))
            assert make_gene(gene.space_group, letters) in equivalent_genes(gene)
            new_lattice = np.linalg.inv(linear).T @ lattice
            structure = Structure(new_lattice, elements, np.concatenate(rebuilt))
            assert matcher.fit(structure, to_structure(crystal)), (crystal.id, linear, translation)
