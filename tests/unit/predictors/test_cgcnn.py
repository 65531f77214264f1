"""The network: against a straight-line statement of the published equations, invariances, gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from matwheel.compositions.element_features import WIDTH, element_features
from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.graphs import build_graphs
from matwheel.predictors.cgcnn import CGCNN
from matwheel.predictors.graph_convolutions import GraphConvolution, GraphTensors, graph_tensors
from matwheel.predictors.training_settings import NetworkSettings


def network(seed: int = 0, **sizes) -> CGCNN:
    """A network in double precision whose running statistics are not those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = CGCNN(NetworkSettings(**sizes)).double()
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith(("running_mean", "gate.bias", "normalise.bias")):
                value.normal_(0.0, 0.3)
            elif name.endswith(("gate.weight", "normalise.weight")):
                value.uniform_(0.7, 1.3)
    return net.eval()


def double(graphs: GraphTensors) -> GraphTensors:
    return replace(graphs, distance=graphs.distance.double(), weight=graphs.weight.double())


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def published_forward(net: CGCNN, graphs: GraphTensors, training: bool) -> list[float]:
    """CGCNN, equation 5, atom by atom and neighbour by neighbour, with concatenated inputs."""
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    width = net.settings.node_width
    # The centres are single precision numbers, which training mode would show.
    centres = state["basis.centres"]
    np.testing.assert_allclose(centres, np.arange(41) * 0.2, rtol=1e-6)
    numbers = graphs.atomic_numbers.tolist()
    h = [state["embed.weight"] @ state["element_features"][z] + state["embed.bias"] for z in numbers]
    edges = list(
        zip(*(getattr(graphs, n).tolist() for n in ("target", "source", "distance", "weight")), strict=True)
    )
    for layer in range(net.settings.convolutions):
        p = f"convolutions.{layer}."
        matrix = np.hstack([state[p + f"of_{part}.weight"] for part in ("target", "source", "edge")])
        z = []
        for i, j, d, _ in edges:
            expansion = [math.exp(-(((d - centre) / 0.2) ** 2)) for centre in centres]
            z.append(matrix @ np.concatenate([h[i], h[j], expansion]))
        mean, variance = state[p + "gate.running_mean"], state[p + "gate.running_var"]
        if training:
            total = sum(w for *_, w in edges)
            mean = sum(w * row for (*_, w), row in zip(edges, z, strict=True)) / total
            variance = sum(w * (row - mean) ** 2 for (*_, w), row in zip(edges, z, strict=True)) / total
        gathered = [np.zeros(width) for _ in numbers]
        for (i, _, _, w), row in zip(edges, z, strict=True):
            row = (row - mean) / np.sqrt(variance + 1e-5) * state[p + "gate.weight"] + state[p + "gate.bias"]
            for k in range(width):
                gathered[i][k] += w * sigmoid(row[k]) * softplus(row[width + k])
        mean, variance = state[p + "normalise.running_mean"], state[p + "normalise.running_var"]
        if training:
            mean, variance = np.mean(gathered, axis=0), np.var(gathered, axis=0)
        for i, row in enumerate(gathered):
            row = (row - mean) / np.sqrt(variance + 1e-5)
            row = row * state[p + "normalise.weight"] + state[p + "normalise.bias"]
            h[i] = np.array([softplus(value) for value in h[i] + row])
    out = []
    for crystal in range(graphs.crystals):
        pooled = np.mean([h[i] for i in range(len(h)) if int(graphs.crystal[i]) == crystal], axis=0)
        hidden = state["hidden.weight"] @ [softplus(v) for v in pooled] + state["hidden.bias"]
        out.append(float((state["output.weight"] @ [softplus(v) for v in hidden] + state["output.bias"])[0]))
    return out


@pytest.mark.parametrize("training", [False, True])
def test_forward_equals_the_published_equations(jarvis_crystals, training):
    net = network(convolutions=2, node_width=8, hidden_width=10)
    graphs = double(graph_tensors(build_graphs(jarvis_crystals[0][:4])))
    expected = published_forward(net, graphs, training)
    with torch.no_grad():
        mine = net.train(training)(graphs).tolist()
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-10)
    assert np.std(expected) > 1e-3


def described_otherwise(crystal: Crystal, how: str) -> Crystal:
    random = np.random.default_rng(5)
    species, lattice, positions = crystal.species, crystal.lattice, crystal.frac_coords
    if how == "supercell":
        structure = to_structure(crystal) * [[1, 1, 0], [0, 2, 0], [0, 0, 1]]
        species = tuple(site.specie.symbol for site in structure)
        lattice, positions = structure.lattice.matrix, structure.frac_coords
    elif how == "translation":
        positions = positions + random.normal(size=3)
    elif how == "rotation":
        lattice = lattice @ np.linalg.qr(random.normal(size=(3, 3)))[0]
    if how in ("permutation", "supercell"):
        order = random.permutation(len(species))
        species, positions = tuple(species[i] for i in order), positions[order]
    return Crystal(crystal.id, species, lattice, positions)


@pytest.mark.parametrize("how", ["permutation", "translation", "rotation", "supercell"])
def test_prediction_does_not_depend_on_the_description(jarvis_crystals, poly_crystals, how):
    crystals = [*jarvis_crystals[0], *poly_crystals[0]]
    net = network()
    with torch.no_grad():
        one = net(double(graph_tensors(build_graphs(crystals))))
        two = net(double(graph_tensors(build_graphs([described_otherwise(c, how) for c in crystals]))))
    # Distances are kept in single precision, so the invariance holds to about 1e-6.
    np.testing.assert_allclose(one, two, atol=2e-5)
    assert one.std() > 1e-3


def test_prediction_does_not_depend_on_the_batch(jarvis_crystals):
    graphs = build_graphs(jarvis_crystals[0])
    net = network()
    with torch.no_grad():
        together = net(double(graph_tensors(graphs)))
        single = [net(double(graph_tensors(graphs, np.array([row])))) for row in range(len(graphs))]
    np.testing.assert_allclose(together, torch.cat(single), atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_the_written_out_derivative_is_the_numerical_one(training):
    torch.manual_seed(3)
    convolution = GraphConvolution(3, 2).double().train(training)
    source, target = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 0, 0, 2, 3, 1])
    weight = torch.rand(6, dtype=torch.double)

    def forward(nodes, edges):
        return convolution(nodes, source, target, edges, weight)

    nodes = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    edges = torch.randn(6, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(forward, (nodes, edges))


def test_every_parameter_gets_a_gradient(jarvis_crystals):
    torch.manual_seed(0)
    net = CGCNN()
    net(graph_tensors(build_graphs(jarvis_crystals[0]))).pow(2).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_weights_left_out_are_ones():
    torch.manual_seed(0)
    convolution = GraphConvolution(4, 3)
    nodes, edges = torch.randn(5, 4), torch.randn(7, 3)
    source, target = torch.randint(0, 5, (7,)), torch.randint(0, 5, (7,))
    with torch.no_grad():
        assert torch.equal(
            convolution(nodes, source, target, edges),
            convolution(nodes, source, target, edges, torch.ones(7)),
        )


def test_a_batch_of_one_atom_trains():
    one = Crystal("one", ("Cu",), np.eye(3) * 2.5, np.zeros((1, 3)))
    net = CGCNN().train()
    output = net(graph_tensors(build_graphs([one])))
    output.sum().backward()
    assert torch.isfinite(output).all()


def test_element_features_tell_the_elements_apart():
    table = element_features()
    assert table.shape == (119, WIDTH) == (119, 92)
    assert not table[0].any() and set(np.unique(table)) == {0.0, 1.0}
    known = table[1:104]
    groups, periods = known[:, :18].sum(1), known[:, 18:25].sum(1)
    assert (groups == 1).all() and (periods == 1).all()
    assert table[26, 7] == table[26, 21] == 1, "iron: group 8, period 4"
    main = [number for number in range(1, 87) if not 57 <= number <= 71]
    assert len(np.unique(table[main], axis=0)) == len(main)
