"""Names that modules had before they lay in rooms, for programs that were written against them.

`import matwheel.validation.relaxation` gives `matwheel.potentials.relaxation`, with a DeprecationWarning. The
project itself uses no old name.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = "matwheel"
OLD_NAMES_OF_ROOM = {
    "": "screening.verdicts",
    "candidates": (
        "evaluation.candidate_collection evaluation.candidates=ranking evaluation.false_negatives "
        "evaluation.funnel evaluation.why"
    ),
    "chapters.matgan": (
        "evaluation.composition_figures evaluation.composition_maps evaluation.composition_report "
        "evaluation.composition_tables evaluation.compositions evaluation.drawn_compositions"
    ),
    "chapters.matwheel": (
        "evaluation.contrasts evaluation.generator_card evaluation.perturbation_table evaluation.table2"
    ),
    "chapters.phonon": (
        "crystals.labelled_configurations evaluation.attribution_figure evaluation.block_bootstrap "
        "evaluation.bond_attributions evaluation.bonds evaluation.configuration_transfer "
        "evaluation.displacement_figure evaluation.faithfulness evaluation.gap_explanations "
        "evaluation.gap_sensitivity evaluation.transfer_figures predictors.bond_baselines "
        "predictors.distance_network validation.configuration_dft validation.configurations"
    ),
    "chapters.wycryst": (
        "crystals.validated_genes evaluation.gene_ablation evaluation.gene_distributions "
        "evaluation.gene_figures evaluation.gene_yields evaluation.latent_maps predictors.gene_boosting "
        "screening.gene_funnel screening.gene_screens screening.relaxed_genes"
    ),
    "command_line": "cli imported_sets passed_options",
    "composition_models": (
        "predictors.composition_boosting predictors.elemnet screening.formula_synthesizability"
    ),
    "compositions": (
        "generators.composition_samples predictors.composition_features predictors.element_features "
        "predictors.magpie screening.charge_balance screening.composition_keys screening.formulas "
        "screening.oxidation_states hull.average_oxidation_states validation.average_oxidation_states"
    ),
    "core": (
        "archives config_values errors evaluation.proportions files progress registries screening.processes "
        "seeds time_limits"
    ),
    "crystals": "crystals.space_group_settings=space_group_names",
    "crystals.symmetry": "crystals.prototypes crystals.standard_cells crystals.symmetry_dataset",
    "datasets": (
        "crystals.audit crystals.dataset crystals.dataset_look crystals.formula_sets "
        "crystals.published_splits crystals.registry crystals.sources crystals.splits"
    ),
    "dft": "validation.dft validation.dft_comparison validation.gpaw_process",
    "figures": "evaluation.figures",
    "hull": (
        "validation.elemental_references validation.energy_corrections validation.hull "
        "validation.hull_sensitivity validation.reference_phases validation.reference_structures"
    ),
    "potentials": (
        "validation.atoms validation.cell_filter validation.potentials validation.relaxation "
        "validation.selection validation.sevennet validation.sevennet_kernels "
        "validation.symmetric_relaxation"
    ),
    "runs": "certificate code_version job_times machine provenance run_lock slurm_jobs",
    "statistics": "evaluation.paired_statistics evaluation.scores",
    "training": "checkpoints devices label_scale random_draws resumable_training",
    "vibrations": (
        "crystals.perturbed_rows evaluation.phonon_figure validation.displacements "
        "validation.force_constants validation.known_weaknesses validation.layer_elasticity "
        "validation.perturbed_crystals validation.phonon_calculation validation.phonon_judgement "
        "validation.phonon_results validation.phonon_settings validation.phonons "
        "validation.self_consistent_phonons validation.soft_mode"
    ),
    "wyckoff": (
        "crystals.archive_crystals crystals.gene_rows crystals.gene_table crystals.space_group_operations "
        "crystals.wyckoff_genes crystals.wyckoff_permutations crystals.wyckoff_positions "
        "generators.gene_crystals generators.gene_placement generators.gene_ranking "
        "generators.lattice_shapes generators.volume_estimate predictors.gene_features "
        "screening.gene_targets"
    ),
}
"""Room → what moved there; of what was renamed too, the new name after an equals sign."""


def new_names() -> dict[str, str]:
    """Return the new name of every module that had another one, e.g. 'matwheel.errors'."""
    found = {}
    for room, names in OLD_NAMES_OF_ROOM.items():
        for name in names.split():
            old, _, renamed = name.partition("=")
            parts = (PACKAGE, room, renamed or old.rpartition(".")[2])
            found[f"{PACKAGE}.{old}"] = ".".join(part for part in parts if part)
    return found


class OldNames(MetaPathFinder, Loader):
    """Finds modules by their old names, after everything else has looked in vain."""

    def __init__(self) -> None:
        self.new_names = new_names()
        self.packages = {name.rpartition(".")[0] for name in self.new_names} - {PACKAGE}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a specification of an old name, or None."""
        if fullname in self.new_names:
            return ModuleSpec(fullname, self)
        if fullname in self.packages:  # one that is gone; the others were found before
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the new name in the place of an old one."""
        new = self.new_names.get(module.__name__)
        if new is not None:
            warnings.warn(f"{module.__name__} is {new} now", DeprecationWarning, stacklevel=2)
            sys.modules[module.__name__] = import_module(new)


def understand_old_names() -> None:
    """Let old names be imported from now on."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.append(OldNames())
