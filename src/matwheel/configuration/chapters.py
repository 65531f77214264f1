"""Sections of the chapters: what the files in `config/chapters/` hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from matwheel.chapters.matgan.composition_maps import MapSettings
from matwheel.chapters.phonon.distance_network_settings import DistanceNetworkSettings
from matwheel.chapters.wycryst.gene_boosting import GeneBoostingSettings
from matwheel.composition_models.composition_boosting import PRESETS as BOOSTING_PRESETS
from matwheel.composition_models.composition_boosting import BoostingSettings, CompositionBoosting
from matwheel.composition_models.elemnet_settings import PRESETS as ELEMNET_PRESETS
from matwheel.composition_models.elemnet_settings import ElemNetSettings
from matwheel.compositions.element_names import Element
from matwheel.configuration.loop import CompositionRule, JobShards, PerShard, Phonons, Potential, Predictors
from matwheel.configuration.parts import Name, PathText, Section, changes_of, name_of
from matwheel.core.settings import (
    DISTINCT,
    GIVEN,
    Because,
    Positive,
    Share,
    WrongSetting,
)
from matwheel.dft.dft import DFTSettings
from matwheel.generators.compositions import COMPOSITION_GENERATORS
from matwheel.generators.matgan.autoencoder_settings import AutoencoderSettings
from matwheel.generators.matgan.sampling_settings import MatGANSamplingSettings
from matwheel.generators.matgan.settings import MatGANSettings
from matwheel.generators.mpvae.sampling_settings import SamplingSettings
from matwheel.generators.mpvae.settings import PRESETS as MPVAE_PRESETS
from matwheel.generators.mpvae.settings import MPVAESettings
from matwheel.generators.mpvae.settings import settings_from_mapping as mpvae_settings
from matwheel.generators.parted_settings import parted_settings
from matwheel.vibrations.displacements import DisplacementSettings
from matwheel.vibrations.perturbed_crystals import PerturbationSettings
from matwheel.vibrations.self_consistent_phonons import SelfConsistentSettings
from matwheel.wyckoff.gene_crystals import GeneCrystalSettings
from matwheel.wyckoff.gene_table import GeneTableSettings

Seeds = Annotated[int, Field(ge=1, le=1000), Because("each is a training")]


def several(item: Any, fewest: int = 0) -> Any:
    """Return the type of a list whose values all differ."""
    return Annotated[tuple[item, ...], Field(min_length=fewest, strict=False), DISTINCT]


class Funnel(Section):
    """Which sets of the flywheel go through screens and validation to results/candidates.csv."""

    runs: several(Annotated[int, Field(ge=0)])
    """Runs of the flywheel whose crystals do, counted from 0."""
    supervisions: several(Literal["full", "semi"], 1)
    """Generators whose crystals do, full or semi."""


class Perturbation(Section):
    """Training crystals with displaced atoms as further training rows."""

    predictors: Predictors
    """Predictors that learn from perturbed copies of the training crystals; none leaves them out."""
    training_sets: several(Literal["F_T", "F_R", "F_G"], 1)
    """F_T adds a thermal copy of each real training crystal, F_R a random one with the same rms displacement,
    F_G as many generated crystals; F and F_GF of Table 2 stand beside them.
    """
    potential: Potential
    """Potential of the vibrations."""
    shards: JobShards
    """Jobs that a dataset's crystals are shared among."""
    settings: Annotated[PerturbationSettings, GIVEN]
    """How crystals are perturbed."""


def matgan_settings(changes: dict[str, Any]) -> None:
    """Make the settings of training and of sampling, to see whether they go together."""
    training, sampling = parted_settings("matgan", changes)
    MatGANSettings(**training), MatGANSamplingSettings(**sampling)


MatGANChanges = changes_of(
    "MatGANChanges", MatGANSettings, MatGANSamplingSettings, make=matgan_settings, without=("device",)
)
BoostingChanges = changes_of(
    "BoostingChanges",
    BoostingSettings,
    make=CompositionBoosting.from_settings,
    preset=(
        Literal[tuple(BOOSTING_PRESETS)],
        Field("hist", description="Settings to begin with; gbdt is the paper's."),
    ),
)
ElemNetChanges = changes_of(
    "ElemNetChanges",
    ElemNetSettings,
    make=lambda changes: ElemNetSettings(
        **{name: value for name, value in changes.items() if name != "preset"}
    ),
    preset=(
        Literal[tuple(ELEMNET_PRESETS)],
        Field("laptop", description="Budget to begin with; published is a GPU's work."),
    ),
)


class CompositionGenerator(Section):
    """The generator of compositions that is trained."""

    name: Literal["matgan"]
    """Its name."""
    settings: MatGANChanges
    """Single settings that replace the generator's defaults."""
    settings_of_set: dict[Name, MatGANChanges]
    """The same for single formula sets, by their name."""

    @model_validator(mode="after")
    def _go_together(self) -> CompositionGenerator:
        common = self.settings.model_dump(exclude_unset=True)
        for changes in self.settings_of_set.values():
            matgan_settings(common | changes.model_dump(exclude_unset=True))
        return self


class DecodableSet(Section):
    """Which formulas an autoencoder can decode, and whether the GAN finds the others."""

    set: Name
    """Formula set whose decodable rows are looked for."""
    settings: Annotated[AutoencoderSettings, GIVEN]
    """Single settings that replace the autoencoder's defaults."""


class FormationEnergy(Section):
    """Formation energies of generated compositions."""

    set: Name
    """Formula set whose targets are formation energies in eV per atom."""
    elemnet: ElemNetChanges
    """Preset of ElemNet and single settings that replace its values."""
    boosting: BoostingChanges
    """Preset of the boosted trees beside it and single settings that replace its values."""


class BandGap(Section):
    """Band gaps of generated compositions."""

    set: Name
    """Formula set whose targets are band gaps in eV."""
    boosting: BoostingChanges
    """Preset of the boosted trees (gbdt is the paper's) and single settings that replace its values."""
    largest_rows: Annotated[int, Field(ge=2, le=10_000_000), Because("their features do not fit into memory")]
    """Distinct generated and enumerated compounds whose gap is predicted, at most."""


class MatGAN(Section):
    """Compositions by a GAN."""

    sets: several(Name)
    """Formula sets of the registry that the GAN is trained on; none leaves the chapter out."""
    elements: Literal["matgan", "all"] | several(Element, 2)
    """Elements of the representation: matgan (the paper's 85), all (103), or a list of symbols. Formulas with
    others are left out and counted in the set's provenance.json.
    """
    generator: CompositionGenerator
    """The generator of compositions that is trained."""
    samples: Annotated[int, Field(ge=1, le=100_000_000), Because("they are counted in memory, 40 bytes each")]
    """Compositions drawn per set, by the GAN and by each null generator; the paper has 2,000,000."""
    sample_shards: JobShards
    """Jobs that draw them."""
    nulls: several(name_of({name: 0 for name in COMPOSITION_GENERATORS if name != "matgan"}))
    """Null generators that are evaluated beside the GAN at the same number of samples, names of the registry
    (`matwheel.generators.compositions`).
    """
    validity_rules: Annotated[dict[Name, CompositionRule], Field(min_length=1)]
    """Rules of charge neutrality and electronegativity balance by a name of your choice; the first is drawn.
    """
    maps: Annotated[MapSettings, GIVEN]
    """Single settings that replace those of the t-SNE maps."""
    autoencoder: DecodableSet
    """Which formulas an autoencoder can decode."""
    formation_energy: FormationEnergy
    """Formation energies of generated compositions."""
    band_gap: BandGap
    """Band gaps of generated compositions."""


MPVAEChanges = changes_of(
    "MPVAEChanges",
    MPVAESettings,
    make=mpvae_settings,
    without=("device",),
    preset=(
        Literal[tuple(MPVAE_PRESETS)],
        Field(
            "default",
            description="Settings to begin with; published is the public code's network and weights.",
        ),
    ),
)


class Ablation(Section):
    """Augmentation × transfer."""

    seeds: Annotated[int, Field(ge=0, le=100), Because("each is four trainings")]
    """Trainings per arm of augmentation and transfer; 0 leaves the ablation out."""
    settings: MPVAEChanges
    """Settings of these trainings that replace those of the model."""


Bound = float | None


def _ordered(window: tuple[Any, Any]) -> tuple[Any, Any]:
    low, high = window
    if low is not None and high is not None and low > high:
        raise WrongSetting("give the smaller bound first")
    return window


Window = Annotated[
    tuple[Bound, ...], Field(min_length=2, max_length=2, strict=False), AfterValidator(_ordered)
]
SpaceGroups = Annotated[
    tuple[Annotated[int, Field(ge=1, le=230)], ...],
    Field(min_length=2, max_length=2, strict=False),
    AfterValidator(_ordered),
]


class Windows(Section):
    """Smallest and largest value of each property; null for no bound."""

    formation_energy_ev_per_atom: Window = (None, None)
    """Window in eV per atom."""
    band_gap_ev: Window = (None, None)
    """Window in eV."""


class GeneTarget(Section):
    """What is asked of genes."""

    windows: Windows
    """Smallest and largest value of each property; null for no bound."""
    space_groups: SpaceGroups = (1, 230)
    """First and last space group, 1 to 230."""


class Threshold(Section):
    """A screen of genes by synthesizability."""

    threshold: Share
    """Score that a formula must exceed; without the mirror's lists the screen is left out."""


class Anions(Section):
    """How many elements of a gene may be anions."""

    most_anions: Annotated[int, Field(ge=0, le=10)]
    """How many of its elements may be anions."""
    anions: several(Element) = ("O", "S", "Se", "Te", "F", "Cl", "Br", "I")
    """Elements that count as anions."""


GENE_SCREENS = Literal[
    "gene_validity",
    "unique_gene",
    "charge_neutrality",
    "electronegativity",
    "property_window",
    "synthesizability",
    "metal",
    "one_anion",
    "novel_gene",
    "novel_formula",
]


class WyCryst(Section):
    """Wyckoff genes with several properties."""

    data: Annotated[GeneTableSettings, GIVEN]
    """Which crystals become rows, and how they are divided."""
    model: MPVAEChanges
    """Preset of the MPVAE and single settings that replace its values."""
    ablation: Ablation
    """Augmentation × transfer."""
    tasks: several(Name)
    """Targets that genes are drawn for; none leaves the chapter out."""
    targets: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], GeneTarget]
    """What may be asked for, by a name of your choice."""
    sampling: Annotated[SamplingSettings, GIVEN]
    """Single settings of how genes are drawn from the model."""
    samples: Annotated[int, Field(ge=1, le=10_000_000), Because("each gene is judged by every screen")]
    """Genes drawn per task, by the model, without condition and by each null generator."""
    largest_atoms: Annotated[int, Field(ge=1, le=1000), Because("crystals of that size are not relaxed")]
    """Atoms that the primitive cell of a generated gene may have."""
    nulls: several(Literal["random", "substitution"])
    """Null generators whose genes go through the same funnel in the first round."""
    judges: Annotated[GeneBoostingSettings, GIVEN]
    """Single settings of the trees that judge genes (formation energy, band gap, metal or not)."""
    synthesizability: Threshold
    """The screen by synthesizability."""
    metal_threshold: Share
    """Probability of a metal that a gene must stay below."""
    anions: Anions
    """How many elements of a gene may be anions."""
    require: several(GENE_SCREENS)
    """Screens that a gene must pass to become a crystal, gene_validity always; all genes get all screens."""
    funnel: several(Name)
    """Those of the tasks whose genes become crystals and are validated."""
    rounds: Annotated[
        int, Field(ge=1, le=50), Because("each round trains, relaxes and computes phonons anew")
    ]
    """How often the loop turns; from the second on what was validated is learnt from too."""
    build: Annotated[GeneCrystalSettings, GIVEN]
    """Single settings of how genes become crystals."""
    build_at_most: Annotated[int, Field(ge=1, le=100_000), Because("every gene is some 30 relaxations")]
    """Genes per set that become crystals, a seeded sample of those that passed."""
    build_shard_size: PerShard
    """Genes per job."""
    phonons_at_most: Phonons
    """Crystals per set that get phonons, the nearest to the reference hull first."""

    @model_validator(mode="after")
    def _go_together(self) -> WyCryst:
        for key in ("tasks", "funnel"):
            for number, task in enumerate(getattr(self, key)):
                if task not in self.targets:
                    advice = "wycryst.targets says nothing of it; add it there"
                    raise WrongSetting(advice, f"{key}.{number}", list(self.targets))
        if "gene_validity" not in self.require:
            raise WrongSetting("name gene_validity too", "require")
        model = self.model.model_dump(exclude_unset=True)
        mpvae_settings(model | self.ablation.settings.model_dump(exclude_unset=True))
        return self


POLICY = DisplacementSettings.__pydantic_fields__["policy"].annotation
KIND = Literal["thermal", "uniform_one_sided", "uniform_symmetric", "uniform_scaled"]
RANDOM_KIND = Literal["uniform_one_sided", "uniform_symmetric", "uniform_scaled"]
LEARNT_SET = Literal["thermal", "uniform_one_sided", "uniform_symmetric", "uniform_scaled", "both"]
TARGET = Literal["energy_ev_per_atom", "stress_gpa", "band_gap_ev", "valence_band_maximum_ev"]
Configurations = Annotated[int, Field(ge=0, le=10_000), Because("DFT takes minutes for each configuration")]


class ConfigurationDFT(Section):
    """Labels by DFT."""

    configurations: dict[KIND, Configurations]
    """Configurations of each kind of set that get labels by DFT, per temperature."""
    settings: Annotated[DFTSettings, GIVEN]
    """How they are computed."""


class ConfigurationLearning(Section):
    """What is learnt from the labels."""

    compound: Name
    """The compound whose labels are learnt."""
    training_sets: several(LEARNT_SET, 1)
    """Sets that a model learns from, each tested on all; both is half of thermal and half of
    uniform_one_sided.
    """
    targets: several(TARGET, 1)
    """What is predicted, all by one network."""
    sizes: several(Annotated[int, Field(ge=2, le=1_000_000)], 1)
    """Training rows of the learning curves; a training set that is smaller stops at what it has."""
    seeds: Seeds
    """Divisions into training and test rows, each with an initialisation of its own."""
    network: Annotated[DistanceNetworkSettings, GIVEN]
    """Single settings that replace the network's defaults."""
    drawn_target: TARGET
    """Target whose learning curves are drawn; the table has all."""
    explained_sets: several(LEARNT_SET, 1)
    """Training sets whose models are explained."""
    explained_pairs: several(Annotated[str, Field(pattern="^[A-Z][a-z]?-[A-Z][a-z]?$")]) | None
    """Bond types whose mean lengths the labelled gaps are fitted to, e.g. Ag-S; null takes all, which change
    together and cannot be told apart by few labels.
    """

    @model_validator(mode="after")
    def _drawn(self) -> ConfigurationLearning:
        if self.drawn_target not in self.targets:
            advice = f"phonon.learning.targets has {', '.join(self.targets)}; give one of them"
            raise WrongSetting(advice, "drawn_target", self.targets)
        return self


class Phonon(Section):
    """Crystals displaced along their vibrations or at random."""

    compounds: several(Annotated[str, Field(pattern="^[A-Za-z0-9_]+$")])
    """Compounds whose atoms are displaced; none leaves the chapter out."""
    files: dict[Name, PathText]
    """File of each compound's crystal (CIF, extxyz or another that imported crystals may have)."""
    lattice: Literal["potential", "given"]
    """potential relaxes cell and positions with their symmetry kept; given takes them as they are."""
    supercell: Annotated[
        tuple[
            Annotated[int, Field(ge=1, le=20), Because("the dynamical matrix does not fit into memory")], ...
        ],
        Field(min_length=3, max_length=3, strict=False),
    ]
    """Multiples of the vectors of the standard primitive cell."""
    temperatures_kelvin: several(Annotated[float, Field(ge=0, le=10_000)], 1)
    """Of the thermal sets; 0 is zero-point motion."""
    displacements: Annotated[DisplacementSettings, GIVEN]
    """Policy for imaginary vibrations, and lengths."""
    self_consistent: Annotated[SelfConsistentSettings, GIVEN]
    """How self-consistent phonons are computed."""
    self_consistent_temperatures_kelvin: several(Annotated[Positive, Field(le=10_000)])
    """Temperatures of the policy self_consistent, which costs several hundred energies for each."""
    policies: several(POLICY, 1)
    """Policies for imaginary vibrations whose energies are compared."""
    random_sets: several(RANDOM_KIND)
    """Random sets whose energies are compared with them."""
    configurations: Annotated[
        int, Field(ge=1, le=100_000), Because("each is an energy of a supercell, per set and temperature")
    ]
    """Configurations per set and temperature that the potential labels."""
    shard_size: PerShard
    """Configurations per job; a set that grows computes its new shards only."""
    block_size: Annotated[int, Field(ge=1, le=10_000)]
    """Consecutive configurations of one temperature that never part when training and test rows are chosen;
    those of the same numbers at all temperatures and of all sets stay with them.
    """
    dft: ConfigurationDFT
    """Labels by DFT."""
    shipped_labels: dict[Name, PathText]
    """Labelled configurations of a compound, read where dft.settings.backend is none."""
    learning: ConfigurationLearning
    """What is learnt from the labels."""

    @model_validator(mode="after")
    def _known_compounds(self) -> Phonon:
        named = {f"compounds.{number}": name for number, name in enumerate(self.compounds)}
        for key, name in {**named, "learning.compound": self.learning.compound}.items():
            if name not in self.files:
                advice = "phonon.files says nothing of it; add its file there"
                raise WrongSetting(advice, key, list(self.files))
        return self
