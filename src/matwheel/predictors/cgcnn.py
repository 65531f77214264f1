"""The crystal graph convolutional network (Xie & Grossman, Phys. Rev. Lett. 120, 145301)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from matwheel.compositions.element_features import element_features
from matwheel.predictors.graph_convolutions import GaussianBasis, GraphConvolution, GraphTensors
from matwheel.predictors.training_settings import NetworkSettings
from matwheel.training import random_draws


class CGCNN(nn.Module):
    """Atoms' features → graph convolutions → mean over atoms → two layers → one number per crystal."""

    element_features: Tensor

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or NetworkSettings()
        table = torch.from_numpy(element_features().copy())
        # Kept with the weights: a saved model does not change when the elemental data do.
        self.register_buffer("element_features", table)
        self.basis = GaussianBasis(settings.largest_distance_angstrom, settings.basis_step_angstrom)
        self.embed = nn.Linear(table.shape[1], settings.node_width)
        self.convolutions = nn.ModuleList(
            GraphConvolution(settings.node_width, self.basis.width) for _ in range(settings.convolutions)
        )
        self.dropout = random_draws.Dropout(settings.dropout)
        self.hidden = nn.Linear(settings.node_width, settings.hidden_width)
        self.output = nn.Linear(settings.hidden_width, 1)

    def crystal_features(self, graphs: GraphTensors) -> Tensor:
        """Return the mean atom features of each crystal, shape (crystals, node_width)."""
        nodes = self.embed(self.element_features).index_select(0, graphs.atomic_numbers)
        # Symmetry makes most distances of a crystal equal: the edge parts are computed once for each.
        distinct, edge_row = torch.unique(graphs.distance, return_inverse=True)
        edge_features = self.basis(distinct)
        for convolution in self.convolutions:
            nodes = convolution(nodes, graphs.source, graphs.target, edge_features, graphs.weight, edge_row)
        counts = torch.bincount(graphs.crystal, minlength=graphs.crystals).clamp(min=1)
        totals = nodes.new_zeros(graphs.crystals, nodes.shape[1]).index_add(0, graphs.crystal, nodes)
        return totals / counts[:, None]

    def forward(self, graphs: GraphTensors) -> Tensor:
        """Return one number per crystal, shape (crystals,), in the units of the standardised target."""
        pooled = self.dropout(functional.softplus(self.crystal_features(graphs)))
        return self.output(functional.softplus(self.hidden(pooled)))[:, 0]
