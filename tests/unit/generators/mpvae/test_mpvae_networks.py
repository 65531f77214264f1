"""The two networks of the MPVAE: what they write can be, and costs what it is written with."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from matwheel.chapters.wycryst.gene_screens import gene_validity
from matwheel.generators.mpvae.published_network import PublishedNetwork
from matwheel.generators.mpvae.representation import (
    ELEMENT_TOKENS,
    MOST_SITES,
    MOST_TAKERS,
    SiteSequences,
    arrays_of_sequences,
    genes_of_sequences,
    site_sequences,
)
from matwheel.generators.mpvae.settings import MPVAESettings
from matwheel.generators.mpvae.site_network import SiteNetwork
from matwheel.verdicts import FAIL, PASS
from matwheel.wyckoff.wyckoff_genes import (
    WyckoffGene,
    element_order,
    fault_of_gene,
    genes_of_arrays,
    parse_gene,
    read_gene,
)
from matwheel.wyckoff.wyckoff_positions import LETTERS, SPACE_GROUPS, wyckoff_positions

TABLE = pd.read_csv(Path(__file__).resolve().parents[3] / "data" / "genes60.csv")
GENES = [parse_gene(text) for text in TABLE["gene"]]
TERNARIES = [gene for gene in GENES if len(gene.elements) == 3]
LATENT = 8
SETTINGS = MPVAESettings(latent_width=LATENT, width=32, embedding_width=16, dropout=0.0, device="cpu")
# Rows whose letters a mask could forbid by mistake.
DIFFICULT = [
    "1 Na:a16",
    "1 K:a2 Mg:a Zn:a3 O:a4",
    "47 Na:A Cl:A",
    "47 Na:abcdefgh Cl:ijkA16",
    "2 Al:ai3 O:bi16",
    "62 Tb:c Sb:c Ir:c",
    "225 Na:a Cl:b",
    "227 Mg:a Al:d O:e",
    "14 Zr:abcde Ni:e S:e2",
    "225 Pm:c Hg:a Ag:b",
]


def network(seed: int = 0, *, scale: float = 1.0) -> SiteNetwork:
    """A network with random weights; a larger scale makes its choices sharper and more varied."""
    torch.manual_seed(seed)
    made = SiteNetwork(SETTINGS, 2).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(scale)
    return made


def latents(n: int, seed: int = 1) -> torch.Tensor:
    return 2 * torch.randn(n, LATENT, generator=torch.Generator().manual_seed(seed))


def written(net, latent, *, seed=0, temperature=1.0, element_numbers=(2, 3), largest_atoms=20, **more):
    torch.manual_seed(seed)
    return net.write(
        latent, temperature=temperature, element_numbers=element_numbers, largest_atoms=largest_atoms, **more
    )


def ran_out(gene: WyckoffGene, largest_atoms: int) -> bool:
    """Whether no further element could have been put into a gene."""
    positions = wyckoff_positions()
    group = gene.space_group
    held = {letter for _, letter, _ in gene.sites}
    each = positions.multiplicity[group] // positions.centring[group]
    left = largest_atoms - gene.atoms_in_primitive_cell
    fits = [
        positions.exists[group, place]
        and each[place] <= left
        and not (positions.is_fixed[group, place] and letter in held)
        for place, letter in enumerate(LETTERS)
    ]
    last = bool(gene.sites) and gene.elements[-1] == element_order()[-1]
    return len(gene.sites) == MOST_SITES or last or not any(fits)


@pytest.mark.parametrize(
    ("scale", "temperature", "element_numbers", "largest_atoms"),
    [
        (1.0, 1.0, (2, 3), 20),
        (3.0, 1.0, (2, 3), 20),
        (3.0, 0.0, (3,), 40),
        (1.0, 3.0, (4,), 12),
        (3.0, 0.7, (1, 3), 8),
        (1.0, 1.0, (2,), 2),
    ],
)
def test_every_gene_that_is_written_is_possible(scale, temperature, element_numbers, largest_atoms):
    sequences = written(
        network(3, scale=scale),
        latents(1500),
        temperature=temperature,
        element_numbers=element_numbers,
        largest_atoms=largest_atoms,
    )
    place = {symbol: position for position, symbol in enumerate(element_order())}
    genes = genes_of_sequences(sequences)
    short = 0
    for row, gene in enumerate(genes):
        exists = wyckoff_positions().exists[gene.space_group]
        assert 1 <= gene.space_group <= SPACE_GROUPS and fault_of_gene(gene) == ""
        assert all(exists[LETTERS.index(letter)] for _, letter, _ in gene.sites)
        assert gene.atoms_in_primitive_cell <= largest_atoms
        # As written, not as `make_gene` orders and adds it up: elements and letters ascend strictly.
        steps = int((sequences.element[row] > 0).sum())
        pairs = list(zip(sequences.element[row].tolist(), sequences.letter[row].tolist(), strict=True))
        assert pairs[:steps] == sorted(set(pairs[:steps])) and len(gene.sites) == steps
        assert [place[element] + 1 for element, _, _ in gene.sites] == sequences.element[row, :steps].tolist()
        assert (sequences.element[row, steps:] == 0).all() and (sequences.takers[row, steps:] == 0).all()
        number = len(gene.elements)
        assert number <= max(element_numbers)
        if number not in element_numbers:
            short += 1
            assert ran_out(gene, largest_atoms), gene
    assert short < len(genes) and len(set(genes)) > len(genes) / 4


def test_nothing_is_written_where_nothing_fits():
    genes = genes_of_sequences(
        written(network(), latents(4), largest_atoms=1, true_groups=torch.tensor([14, 62, 225, 1]))
    )
    assert [len(gene.sites) for gene in genes[:2]] == [0, 0]
    assert [gene.atoms_in_primitive_cell for gene in genes[2:]] == [1, 1]


def test_drawing_is_the_same_for_a_seed_and_another_for_another():
    net, latent = network(scale=2.0), latents(300)
    one, two, other = (
        genes_of_sequences(written(net, latent, seed=seed, true_groups=None)) for seed in (5, 5, 6)
    )
    assert one == two and one != other


def test_temperature_zero_takes_the_most_probable():
    net, latent = network(4, scale=2.0), latents(300)
    greedy = genes_of_sequences(written(net, latent, seed=1, temperature=0.0))
    assert greedy == genes_of_sequences(written(net, latent, seed=2, temperature=0.0))
    assert greedy == genes_of_sequences(written(net, latent, seed=3, temperature=1e-6))
    with torch.no_grad():
        groups = net._group_logits(latent).argmax(dim=1).tolist()
    assert [gene.space_group for gene in greedy] == groups
    drawn = written(net, latent, seed=1, temperature=1.0, true_groups=torch.tensor(groups))
    free = written(net, latent, seed=1, temperature=0.0)
    with torch.no_grad():
        losses = [net.reconstruction(latent, genes)["sites"] for genes in (drawn, free)]
    assert losses[1].mean() < losses[0].mean()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_window_of_space_groups_and_given_groups_are_obeyed(temperature):
    net, latent = network(scale=2.0), latents(400)
    groups = written(net, latent, temperature=temperature, space_groups=(195, 206)).space_group
    assert ((groups >= 195) & (groups <= 206)).all()
    assert (written(net, latent, temperature=temperature, space_groups=(62, 62)).space_group == 62).all()
    given = torch.arange(400) % SPACE_GROUPS + 1
    sequences = written(net, latent, temperature=temperature, true_groups=given, space_groups=(195, 206))
    assert torch.equal(sequences.space_group, given)
    assert all(fault_of_gene(gene) == "" for gene in genes_of_sequences(sequences))


def genes_of_all_groups() -> list[WyckoffGene]:
    """A gene per space group with its last letters, and one with its first and last for two elements."""
    genes = []
    for group in range(1, SPACE_GROUPS + 1):
        letters = LETTERS[: int(wyckoff_positions().exists[group].sum())]
        genes.append(parse_gene(f"{group} Na:{letters[-MOST_SITES:]}"))
        pair = f"{letters[0]}{letters[-1]}" if len(letters) > 1 else letters
        genes.append(parse_gene(f"{group} Na:{pair} Cl:{letters[-1]}{MOST_TAKERS}"))
    return [gene for gene in genes if fault_of_gene(gene) == ""]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_no_mask_forbids_a_possible_gene(scale):
    genes = [*GENES, *(parse_gene(text) for text in DIFFICULT), *genes_of_all_groups()]
    assert all(fault_of_gene(gene) == "" for gene in genes) and len(genes) > 400
    with torch.no_grad():
        parts = network(2, scale=scale).reconstruction(latents(len(genes)), site_sequences(genes))
    for loss in parts.values():
        assert loss.shape == (len(genes),) and loss.isfinite().all()
        assert (loss > 0).all() and (loss < 1e6).all()


@pytest.mark.parametrize("text", ["225 Na:a Cl:a", "225 Na:a2", "1 Na:b", "225 Cl:a Na:b", "62 Na:ca"])
def test_masks_forbid_what_is_never_written(text):
    with torch.no_grad():
        loss = network().reconstruction(latents(1), site_sequences([read_gene(text)]))["sites"]
    assert loss.item() > 1e8


def test_genes_are_drawn_as_often_as_their_loss_says():
    """After a short training several genes share one latent vector, so that frequencies can be counted."""
    texts = ["62 Tb:c Sb:c Ir:c", "1 Na:a2 Cl:a2", "47 Na:aA2 O:b", "14 Ni:d S:e", "225 Pm:c Hg:a Ag:b"]
    taught = site_sequences([parse_gene(text) for text in texts])
    net, latent = network(7), latents(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(90):
        parts = net.reconstruction(latent.expand(len(texts), -1), taught)
        optimiser.zero_grad()
        sum(loss.mean() for loss in parts.values()).backward()
        optimiser.step()
    n = 6000
    drawn = written(net, latent.expand(n, -1), element_numbers=(1, 2, 3, 4), largest_atoms=400)
    counts = Counter(genes_of_sequences(drawn))
    distinct = sorted(counts)
    with torch.no_grad():
        parts = net.reconstruction(latent.expand(len(distinct), -1), site_sequences(distinct))
    probability = torch.exp(-sum(parts.values())).double().numpy()
    frequency = np.array([counts[gene] for gene in distinct]) / n
    # Proper probabilities of different genes, and most of what was drawn is among the taught.
    assert probability.sum() < 1 + 1e-4
    common = frequency > 0.02
    assert common.sum() >= 4 and frequency[common].sum() > 0.5
    # Writing shares out anew what training leaves to the end before the first site: a few per cent.
    tolerance = 5 * np.sqrt(probability / n) + 0.1 * probability
    assert (np.abs(frequency - probability) < tolerance)[common].all()
    assert {str(gene) for gene, own in zip(distinct, common, strict=True) if own} <= set(texts)


def test_a_gene_reads_and_costs_the_same_in_any_batch():
    net = network()
    latent = latents(len(GENES))
    every = site_sequences(GENES)
    with torch.no_grad():
        means, log_variances = net.encode(every)
        losses = net.reconstruction(latent, every)
        assert means.shape == log_variances.shape == (len(GENES), LATENT)
        assert (log_variances >= -8).all() and (log_variances <= 4).all()
        values, systems = net.predict(means)
        assert values.shape == (len(GENES), 2) and systems.shape == (len(GENES), 7)
        for row in (0, 17, 45):
            alone = every.rows(slice(row, row + 1))
            assert torch.allclose(net.encode(alone)[0], means[row], atol=1e-5)
            for name, loss in net.reconstruction(latent[row : row + 1], alone).items():
                assert torch.allclose(loss, losses[name][row], rtol=1e-5)


def test_different_genes_read_differently():
    texts = ["225 Na:a Cl:b", "225 Na:b Cl:a", "225 K:a Cl:b", "216 Na:a Cl:b", "1 Na:a Cl:a", "1 Na:a2 Cl:a"]
    with torch.no_grad():
        means, _ = network().encode(site_sequences([parse_gene(text) for text in texts]))
    distance = torch.cdist(means, means) + torch.eye(len(texts))
    assert (distance > 1e-4).all()


@pytest.fixture
def published() -> PublishedNetwork:
    torch.manual_seed(0)
    return PublishedNetwork(SETTINGS, 2, 3).eval()


def test_the_matrix_of_a_gene(published):
    gene = parse_gene("64 Ca:f Si:f N:ef")
    matrix = published.matrix(site_sequences([gene, parse_gene("225 Na:a Cl:b")]))
    elements, width = ELEMENT_TOKENS - 1, published.element_features.shape[1]
    assert matrix.shape == (2, 3, elements + 2 + width + len(LETTERS)) == (2, 3, published.rows)
    for slot, symbol in enumerate(gene.elements):
        assert matrix[0, slot, :elements].nonzero().tolist() == [[element_order().index(symbol)]]
    atoms = torch.tensor([float(gene.atoms[symbol]) for symbol in gene.elements])
    assert torch.allclose(matrix[0, :, elements] * 10, atoms)
    assert torch.allclose(matrix[0, :, elements + 1], torch.tensor([0.25, 0.25, 0.5]))
    letters = matrix[0, 2, -len(LETTERS) :]
    assert letters.nonzero().flatten().tolist() == [LETTERS.index("e"), LETTERS.index("f")]
    assert (matrix[1, 2] == 0).all()


def test_shapes_of_the_published_network(published):
    sequences = site_sequences(GENES)
    mean, log_variance = published.encode(sequences)
    assert mean.shape == log_variance.shape == (len(GENES), LATENT)
    values, systems = published.predict(mean)
    assert values.shape == (len(GENES), 2) and systems.shape == (len(GENES), 7)
    parts = published.reconstruction(mean, sequences)
    assert set(parts) == {"space_group", "sites", "formula"}
    for loss in parts.values():
        assert loss.shape == (len(GENES),) and loss.isfinite().all() and (loss >= 0).all()


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_the_published_network_writes_matrices_of_its_own_size(slots):
    net = PublishedNetwork(SETTINGS, 2, slots).eval()
    made = net.to_matrix(net.to_channels(latents(2)).unflatten(1, (128, net.lengths[-1])))
    assert made.shape == (2, slots, net.rows)


def test_the_consistency_of_formula_and_positions_teaches_space_group_and_letters(published):
    sequences = site_sequences(GENES)
    latent = published.encode(sequences)[0].detach()
    published.reconstruction(latent, sequences)["formula"].sum().backward()
    for part in (published.to_group, published.to_channels, published.to_matrix):
        for weight in part.parameters():
            assert weight.grad is not None and weight.grad.isfinite().all()
        assert part[0].weight.grad.abs().max() > 0
    assert all(weight.grad is None for weight in published.head.parameters())
    assert published.to_group[-1].weight.grad.abs().max() > 0


def test_what_the_published_network_writes_is_screened(published):
    optimiser = torch.optim.Adam(published.parameters(), lr=3e-3)
    sequences = site_sequences(TERNARIES[:8])
    published.train()
    for _ in range(120):
        latent = published.encode(sequences)[0]
        parts = published.reconstruction(latent, sequences)
        optimiser.zero_grad()
        (parts["sites"] + parts["space_group"]).mean().backward()
        optimiser.step()
    published.eval()
    with torch.no_grad():
        latent = torch.cat([published.encode(sequences)[0], latents(300)])
    sequences = written(published, latent, element_numbers=(3,))
    arrays = arrays_of_sequences(sequences)
    verdicts = gene_validity([str(row) for row in range(len(latent))], arrays)["verdict"].to_numpy()
    assert {PASS, FAIL} == set(verdicts)
    genes = genes_of_arrays(arrays)
    for row in np.flatnonzero(verdicts == PASS):
        gene = genes[row]
        assert parse_gene(str(gene)) == gene and fault_of_gene(gene) == "" and len(gene.elements) == 3
        assert gene.atoms_in_primitive_cell <= 40


def test_the_published_network_writes_the_same_always_and_in_the_window(published):
    latent = latents(200)
    one = written(published, latent, seed=1)
    two = written(published, latent, seed=2, temperature=0.0)
    for name in SiteSequences.__dataclass_fields__:
        assert torch.equal(getattr(one, name), getattr(two, name))
    groups = written(published, latent, space_groups=(195, 206)).space_group
    assert ((groups >= 195) & (groups <= 206)).all()
    given = torch.arange(200) + 1
    assert torch.equal(written(published, latent, true_groups=given).space_group, given)
    assert (one.element.diff(dim=1)[(one.element > 0)[:, 1:]] >= 0).all()
