"""Wyckoff genes of crystals, their text and their arrays."""

import random
from pathlib import Path

import numpy as np
import pytest

from matwheel.compositions.formulas import ELEMENTS
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import crystals_of_table, read_table, reduced_formula
from matwheel.wyckoff.wyckoff_genes import (
    NoGene,
    WyckoffGene,
    element_order,
    fault_of_gene,
    gene_arrays,
    gene_of_crystal,
    genes_of_arrays,
    make_gene,
    parse_gene,
)
from matwheel.wyckoff.wyckoff_permutations import canonical_gene, equivalent_genes
from matwheel.wyckoff.wyckoff_positions import LETTERS, wyckoff_positions

POLY40 = Path(__file__).parents[2] / "data" / "poly40.parquet"


@pytest.fixture(scope="module")
def crystals():
    return crystals_of_table(read_table(POLY40))


@pytest.fixture(scope="module")
def genes(crystals):
    return [gene_of_crystal(crystal) for crystal in crystals]


def random_genes(number, seed=0):
    """Genes of all kinds, possible or not, with every space group among the first 230."""
    draw = random.Random(seed)
    made = []
    for row in range(number):
        group = row % 230 + 1
        letters = LETTERS[: int(wyckoff_positions().exists[group].sum())]
        elements = draw.sample(ELEMENTS, draw.randint(1, 4))
        sites = [
            (element, draw.choice(letters), draw.randint(1, 3))
            for element in elements
            for _ in range(draw.randint(1, 3))
        ]
        made.append(make_gene(group, sites))
    return made


def rock_salt(species=("Na", "Cl"), length=5.64):
    lattice = length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal("salt", species, lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def supercell(crystal, cells):
    structure = to_structure(crystal)
    structure.make_supercell(cells)
    species = [site.specie.symbol for site in structure]
    return Crystal(crystal.id, species, structure.lattice.matrix, structure.frac_coords)


def moved(crystal, seed):
    """The crystal with its atoms in another order, from another origin."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(crystal.species))
    species = [crystal.species[atom] for atom in order]
    return Crystal(crystal.id, species, crystal.lattice, crystal.frac_coords[order] + draw.random(3))


def turned(crystal, seed):
    """The crystal rotated in space, with other axes of the same lattice."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    axes = np.array([[1, 0, 0], [1, 1, 0], [-2, 1, 1]])
    return Crystal(
        crystal.id, crystal.species, axes @ crystal.lattice @ turn, crystal.frac_coords @ np.linalg.inv(axes)
    )


def test_structures_everyone_knows():
    assert parse_gene("225 Na:a Cl:b") in equivalent_genes(gene_of_crystal(rock_salt()))
    caesium = Crystal("CsCl", ("Cs", "Cl"), 4.1 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert parse_gene("221 Cs:a Cl:b") in equivalent_genes(gene_of_crystal(caesium))
    perovskite = Crystal(
        "SrTiO3",
        ("Sr", "Ti", "O", "O", "O"),
        3.9 * np.eye(3),
        np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]),
    )
    assert parse_gene("221 Sr:a Ti:b O:c") in equivalent_genes(gene_of_crystal(perovskite))


def test_a_gene_has_the_space_group_and_composition_of_its_crystal(crystals, genes):
    table = read_table(POLY40)
    for crystal, gene, space_group in zip(crystals, genes, table["space_group"], strict=True):
        assert gene.formula == reduced_formula(crystal)
        assert gene.space_group == space_group
        assert gene.atoms_in_primitive_cell == len(to_structure(crystal).get_primitive_structure())
        assert fault_of_gene(gene) == ""
        assert gene.elements == tuple(sorted(set(crystal.species), key=element_order().index))


def test_order_of_the_atoms_and_size_of_the_cell_do_not_change_the_gene(crystals, genes):
    for row, (crystal, gene) in enumerate(zip(crystals, genes, strict=True)):
        order = np.random.default_rng(row).permutation(len(crystal.species))
        species = [crystal.species[atom] for atom in order]
        shuffled = Crystal("shuffled", species, crystal.lattice, crystal.frac_coords[order])
        assert canonical_gene(gene_of_crystal(shuffled)) == canonical_gene(gene)
        double = gene_of_crystal(supercell(crystal, [1, 1, 2]))
        assert sum(number for *_, number in double.sites) == sum(number for *_, number in gene.sites)
        assert canonical_gene(double) == canonical_gene(gene)


def test_origin_and_axes_change_no_more_than_the_description(crystals, genes):
    for row, (crystal, gene) in enumerate(zip(crystals, genes, strict=True)):
        for other in (moved(crystal, row), turned(crystal, row)):
            assert canonical_gene(gene_of_crystal(other)) == canonical_gene(gene), crystal.id


def test_all_crystals_that_are_the_same_have_one_gene_and_others_have_others(genes):
    salt = canonical_gene(gene_of_crystal(rock_salt()))
    assert canonical_gene(gene_of_crystal(rock_salt(("Cl", "Na")))) == salt
    assert canonical_gene(gene_of_crystal(rock_salt(length=6.2))) == salt
    assert canonical_gene(gene_of_crystal(rock_salt(("K", "Cl")))) != salt
    assert salt not in {canonical_gene(gene) for gene in genes}


def test_text_reads_back(genes):
    for gene in [*genes, *random_genes(460)]:
        assert parse_gene(str(gene)) == gene
    assert str(parse_gene("62 Ni:c2 Si:c")) == "62 Si:c Ni:c2"
    assert str(parse_gene("62 Ni:cc Si:c")) == "62 Si:c Ni:c2"
    assert parse_gene("62 O:c O:d Ca:c Ti:b") == parse_gene("62 Ca:c Ti:b O:dc")
    assert str(parse_gene("47 H:A2a")) == "47 H:aA2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("225", "no site"),
        ("x Na:a", "invalid literal"),
        ("225 Na", "no element with its letters"),
        ("225 Na:", "no element with its letters"),
        ("225 Na:2a", "no element with its letters"),
        ("225 Na:a-1", "no element with its letters"),
        ("225 Na:a0", "0 times"),
        ("225 Na:m", "only a to l"),
        ("46 Na:A", "only a to c"),
        ("231 Na:a", "no space group 231"),
        ("0 Na:a", "no space group 0"),
        ("225 Xx:a", "103 elements"),
        ("225 na:a", "103 elements"),
        ("225 :a", "103 elements"),
    ],
)
def test_text_that_is_no_gene_is_quoted_with_its_fault(text, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        parse_gene(text)
    assert repr(text) in str(error.value)


def test_sites_are_added_up_and_put_in_order():
    gene = make_gene(62, [("O", "d", 1), ("Ca", "c", 1), ("O", "c", 2), ("O", "d", 1)])
    assert gene == WyckoffGene(62, (("Ca", "c", 1), ("O", "c", 2), ("O", "d", 2)))
    assert gene.elements == ("Ca", "O")
    assert gene.atoms == {"Ca": 4, "O": 24}
    assert gene.formula == "CaO6"
    assert gene.free_coordinates == 2 + 4 + 6
    with pytest.raises(InputError, match="no site"):
        make_gene(62, [])
    with pytest.raises(InputError, match="1 to 99"):
        make_gene(62, [("O", "c", -1)])
    with pytest.raises(InputError, match="'ab'"):
        make_gene(62, [("O", "ab", 1)])


def test_a_fixed_position_holds_one_atom():
    assert fault_of_gene(parse_gene("225 Na:a Cl:b")) == ""
    assert "position a of space group 225" in fault_of_gene(parse_gene("225 Na:a Cl:a"))
    assert "taken 2 times" in fault_of_gene(parse_gene("225 Na:a2"))
    assert fault_of_gene(parse_gene("225 Na:e Cl:e3")) == ""
    assert fault_of_gene(parse_gene("47 Na:A9")) == ""


def test_group_47_has_27_letters():
    gene = make_gene(47, [("H", letter, 1) for letter in LETTERS])
    assert parse_gene(str(gene)) == gene
    assert gene.atoms == {"H": 8 * 1 + 12 * 2 + 6 * 4 + 8}
    assert genes_of_arrays(gene_arrays([gene])) == [gene]


def test_crystals_without_a_gene():
    five = Crystal("five", ("H", "He", "Li", "Be", "B"), 5 * np.eye(3), np.arange(15).reshape(5, 3) / 15)
    with pytest.raises(NoGene, match="5 elements"):
        gene_of_crystal(five)
    with pytest.raises(NoGene, match="0 elements"):
        gene_of_crystal(Crystal("none", (), np.eye(3), np.zeros((0, 3))))
    with pytest.raises(NoGene, match="Rf"):
        gene_of_crystal(Crystal("Rf", ("Rf",), 3 * np.eye(3), np.zeros((1, 3))))
    flat = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    with pytest.raises(NoGene, match="broken cell"):
        gene_of_crystal(Crystal("flat", ("H",), flat, np.zeros((1, 3))))
    with pytest.raises(NoGene, match="broken cell"):
        gene_of_crystal(Crystal("nan", ("H",), np.eye(3), np.full((1, 3), np.nan)))
    with pytest.raises(NoGene, match="broken cell"):
        gene_of_crystal(Crystal("inf", ("H",), np.diag([1.0, np.inf, 1.0]), np.zeros((1, 3))))
    with pytest.raises(NoGene, match="too close"):
        gene_of_crystal(Crystal("twice", ("H", "H"), 5 * np.eye(3), np.zeros((2, 3))))


def test_arrays_read_back_and_count_as_the_genes_do(genes):
    every = [*genes, *random_genes(690, seed=1)]
    arrays = gene_arrays(every)
    assert len(arrays) == len(every)
    assert genes_of_arrays(arrays) == every
    assert arrays.atoms_in_primitive_cell.tolist() == [gene.atoms_in_primitive_cell for gene in every]
    counts = arrays.counts()
    for gene, atoms, reduced in zip(every, arrays.atoms, counts, strict=True):
        assert atoms[atoms > 0].tolist() == list(gene.atoms.values())
        common = np.gcd.reduce(list(gene.atoms.values()))
        expected = {element: number // common for element, number in gene.atoms.items()}
        own = {ELEMENTS[column]: int(reduced[column]) for column in np.flatnonzero(reduced)}
        assert own == expected
    odd = np.arange(len(every)) % 2 == 1
    assert genes_of_arrays(arrays[odd]) == every[1::2]
    assert genes_of_arrays(gene_arrays([])) == []


def test_five_elements_do_not_fit_into_arrays():
    gene = make_gene(1, [(element, "a", 1) for element in ("H", "Li", "B", "C", "N")])
    with pytest.raises(InputError, match="5 elements"):
        gene_arrays([gene])


def test_elements_stand_from_the_least_to_the_most_electronegative():
    order = element_order()
    assert sorted(order) == sorted(ELEMENTS)
    assert order[-1] == "F"
    assert order.index("Cs") < order.index("Na") < order.index("Al") < order.index("Cl") < order.index("O")
