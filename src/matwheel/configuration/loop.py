"""Sections of the loop's stages: what `config/config.yaml` holds."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from matwheel.candidates.candidate_set import FILE_OF_SCREEN
from matwheel.composition_models.formula_synthesizability import FormulaScoreSettings
from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.compositions.oxidation_states import OXIDATION_TABLES
from matwheel.configuration.parts import Name, PathText, Section, changes_of, name_of, refuse_fault
from matwheel.core.errors import InputError
from matwheel.core.settings import (
    CONFIG,
    DISTINCT,
    GIVEN,
    Because,
    Positive,
    RefusedSettings,
    Share,
    Tolerance,
    WrongSetting,
)
from matwheel.dft.dft import DFTSettings
from matwheel.generators.con_cdvae.sampling_settings import ConCDVAESamplingSettings
from matwheel.generators.con_cdvae.settings import ConCDVAESettings
from matwheel.generators.parted_settings import parted_settings
from matwheel.generators.registry import GENERATORS
from matwheel.hull.hull import HullSettings
from matwheel.potentials.potentials import POTENTIALS
from matwheel.potentials.relaxation import RelaxationSettings
from matwheel.predictors.forest import ForestSettings
from matwheel.predictors.latent import LatentSettings
from matwheel.predictors.registry import PREDICTORS
from matwheel.predictors.training_settings import PRESETS as CGCNN_PRESETS
from matwheel.predictors.training_settings import NetworkSettings, TrainingSettings, training_settings
from matwheel.properties.registry import PROPERTIES, make_property
from matwheel.screening.registry import SCREENS, make_screen
from matwheel.screening.structure_validity import StructureSettings
from matwheel.screening.synthesizability import SCORES
from matwheel.vibrations.phonon_settings import PhononSettings

Part = Annotated[float, Field(gt=0, lt=1)]
Predictor, Potential = name_of(PREDICTORS), name_of(POTENTIALS)
Predictors = Annotated[tuple[Predictor, ...], Field(strict=False), DISTINCT]
JobShards = Annotated[
    int, Field(ge=1, le=1000), Because("more jobs than that take longer to start than to run")
]
PerShard = Annotated[int, Field(ge=1, le=100_000), Because("one job would run for weeks")]
Phonons = Annotated[int, Field(ge=1, le=10_000), Because("phonons take minutes to an hour for each crystal")]
Relaxations = Annotated[int, Field(ge=1, le=100_000), Because("relaxations take some 10 s for each crystal")]


def oxidation_table(settings: CompositionSettings) -> CompositionSettings:
    """Check that the oxidation table of a rule is there.

    Raises:
        WrongSetting: it is neither a name nor a file.
    """
    table = settings.oxidation_table
    if table not in OXIDATION_TABLES and not Path(table).is_file():
        advice = f"give one of {', '.join(OXIDATION_TABLES)}, or a file that is there"
        raise WrongSetting(advice, "oxidation_table", OXIDATION_TABLES)
    return settings


CompositionRule = Annotated[CompositionSettings, GIVEN, AfterValidator(oxidation_table)]


class Fractions(Section):
    """Parts of a dataset; they add up to one."""

    train: Part
    """Part trained on."""
    validation: Part
    """Part that chooses the checkpoint."""
    test: Part
    """Part that is only scored."""

    @model_validator(mode="after")
    def _add_up(self) -> Fractions:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise WrongSetting(f"the three fractions add up to {total:g}, not to 1; change one")
        return self


class Split(Section):
    """How datasets are divided."""

    schemes: Annotated[
        tuple[Literal["random", "formula", "prototype", "chang2022"], ...],
        Field(min_length=1, strict=False),
        DISTINCT,
    ]
    """How crystals are divided: random; formula or prototype (no formula, or no prototype, on two sides);
    chang2022 (the five splits of Chang et al. 2022, from a mirror folder).
    """
    runs: Annotated[
        int, Field(ge=1, le=100), Because("each run trains a generator twice and every predictor six times")
    ]
    """Number of splits per scheme (at most five for chang2022); the paper has five."""
    fractions: Fractions
    """Parts of the dataset."""
    labelled_fraction: Part
    """Part of the training rows that keep their label in the semi-supervised scenario."""

    @model_validator(mode="after")
    def _published(self) -> Split:
        if "chang2022" in self.schemes and self.runs > 5:
            raise WrongSetting("scheme chang2022 has five published splits; give 5 or fewer", "runs")
        return self


CGCNNChanges = changes_of(
    "CGCNNChanges",
    TrainingSettings,
    NetworkSettings,
    make=lambda changes: training_settings(changes.pop("preset", "default"), changes),
    without=("network",),
    preset=(
        Literal[tuple(CGCNN_PRESETS)],
        Field(
            "default",
            description="Named settings; default is tuned on validation error, the others are published.",
        ),
    ),
)


def _potentials_of_features(settings: LatentSettings) -> LatentSettings:
    known = [name for name, entry in POTENTIALS.items() if entry.package == "sevenn"]
    for place, potential in enumerate(settings.potentials):
        if potential not in known:
            raise WrongSetting(f"give one of {', '.join(known)}", f"potentials.{place}", known)
    return settings


class NoSettings(Section):
    """There is nothing to set."""


class PredictorSettings(Section):
    """Single settings that replace a predictor's defaults."""

    model_config = ConfigDict(**{**CONFIG, "extra": "allow"})
    __pydantic_extra__: dict[str, dict[str, Any]]  # a predictor of one's own refuses unknown settings itself

    cgcnn: CGCNNChanges
    """A preset and single settings that replace it."""
    latent: Annotated[LatentSettings, GIVEN, AfterValidator(_potentials_of_features)]
    """Single settings that replace the defaults."""
    forest: Annotated[ForestSettings, GIVEN] = ForestSettings()
    """Single settings that replace the defaults."""

    constant: NoSettings = NoSettings()
    """There is nothing to set."""

    @model_validator(mode="after")
    def _known(self) -> PredictorSettings:
        for name in self.__pydantic_extra__:
            if name not in PREDICTORS:
                known = ", ".join(PREDICTORS)
                raise WrongSetting(f"there is no such predictor; there are {known}", name, list(PREDICTORS))
        return self


class Conditions(Section):
    """Which property values crystals are generated for."""

    method: Literal["kde", "log_kde", "uniform", "target"]
    """Distribution of the property values: kde and log_kde (Gaussian kernel density of the training labels or
    of their logarithm), uniform between the extreme labels, target (the given values in turn).
    """
    bandwidth: Literal["scott", "silverman"] | Positive
    """Bandwidth rule of the kernel density, or its factor on the standard deviation."""
    targets: Annotated[tuple[float, ...], Field(strict=False)]
    """Property values for the method target."""

    @model_validator(mode="after")
    def _has_targets(self) -> Conditions:
        if self.method == "target" and not self.targets:
            raise WrongSetting("conditions.method is target; give property values", "targets")
        return self


def con_cdvae_settings(changes: dict[str, Any]) -> None:
    """Make the settings of training and of sampling, to see whether they go together."""
    training, sampling = parted_settings("con_cdvae", changes)
    ConCDVAESettings(**training), ConCDVAESamplingSettings(**sampling)


ConCDVAEChanges = changes_of(
    "ConCDVAEChanges",
    ConCDVAESettings,
    ConCDVAESamplingSettings,
    make=con_cdvae_settings,
    without=("device",),
)
SETTINGS_OF_GENERATOR = {"con_cdvae": ConCDVAEChanges}
"""Generator → its settings; one of a user's own refuses unknown settings itself."""


def _settings_by_generator(schema: dict[str, Any]) -> None:
    ((name, section),) = SETTINGS_OF_GENERATOR.items()
    schema["if"] = {"properties": {"name": {"const": name}}}
    schema["then"] = {"properties": {"settings": section.model_json_schema()}}


class Generator(Section):
    """What makes crystals."""

    model_config = ConfigDict(json_schema_extra=_settings_by_generator)

    name: name_of(GENERATORS)
    """Generator of crystals, a name of the registry (`matwheel.generators.registry`)."""
    samples: Annotated[
        int,
        Field(ge=2, le=1_000_000),
        Because("sampling takes some 30 ms for each crystal, and judging more"),
    ]
    """Crystals generated per run and supervision; the paper has 1000."""
    settings: dict[str, Any]
    """Single settings that replace the generator's defaults."""

    @model_validator(mode="after")
    def _known_settings(self) -> Generator:
        if self.name in SETTINGS_OF_GENERATOR:
            refuse_fault(SETTINGS_OF_GENERATOR[self.name], self.settings, "settings")
        return self


class Symmetry(Section):
    """The symmetry screen."""

    symprec_angstrom: Tolerance
    """Tolerance with which spglib finds the space group."""
    smallest_space_group: Annotated[int, Field(ge=1, le=230)]
    """A crystal of a lower space-group number fails; 1 lets all pass, 2 refuses those without symmetry."""


class Synthesizability(Section):
    """The synthesizability screen."""

    model: name_of(SCORES, "none")
    """Score of how likely a crystal can be made, a name of the registry
    (`matwheel.screening.synthesizability`): formula (positive-unlabelled, from the mirror's lists of reported
    formulas, by `settings`), or none for no such screen.
    """
    threshold: Share
    """A crystal passes from this score on."""
    settings: Annotated[FormulaScoreSettings, GIVEN]
    """Single settings of that score, which genes are judged by too."""


class Screen(Section):
    """What generated crystals are asked before they are relaxed."""

    synthetic_filter: Literal["none", "composition", "structure", "hull"]
    """What a generated crystal must pass before a predictor learns from it: none (only that it has a
    neighbour graph), composition (charge neutrality and electronegativity), structure (the structure screen),
    hull (energy above the reference hull, after relaxation; crystals beyond the relaxation budget are left
    out).
    """
    composition: CompositionRule
    """The rule of charge neutrality and electronegativity."""
    structure: Annotated[StructureSettings, GIVEN]
    """Limits of the structure screen."""
    symmetry: Symmetry
    """The symmetry screen."""
    novelty: Annotated[tuple[Literal["training", "mp", "formula"], ...], Field(strict=False), DISTINCT]
    """Reference sets that candidates are compared with: training (the rows that the generator learned from),
    mp (crystals of the Materials Project in a mirror folder; left out without one), formula (formulas of the
    Materials Project, from PyPI). The first decides what counts as novel in S.U.N., before and after
    relaxation.
    """
    synthesizability: Synthesizability
    """The synthesizability screen."""
    further: dict[name_of(SCREENS), dict[str, Any]]
    """Further screens that every set goes through, names of the registry (`matwheel.screening.registry`),
    each with its settings: radioactivity (no stable isotope; tolerated, a list of elements that may be
    there).
    """
    require: Annotated[tuple[Name, ...], Field(strict=False), DISTINCT]
    """Screens that a candidate must pass before it is relaxed; the others inform: structure, symmetry,
    charge_neutrality, electronegativity, unique, novel_training, novel_mp, novel_formula, synthesizability
    and those of `further`; structure always. Unique, and novel against the first reference set, are asked of
    the relaxed crystals again where they are required here.
    """

    @model_validator(mode="after")
    def _known_screens(self) -> Screen:
        for number, name in enumerate(self.require):
            if name not in FILE_OF_SCREEN and name not in self.further:
                advice = f"give a name of screen.further or one of {', '.join(FILE_OF_SCREEN)}"
                raise WrongSetting(advice, f"require.{number}", (*FILE_OF_SCREEN, *self.further))
        if "structure" not in self.require:
            raise WrongSetting("name structure too; what has no structure cannot be relaxed", "require")
        for name, settings in self.further.items():
            try:
                make_screen(name, settings)
            except InputError as error:
                raise WrongSetting(str(error), f"further.{name}") from None
        return self


DFTOfCandidates = changes_of(
    "DFTOfCandidates",
    DFTSettings,
    make=lambda changes: DFTSettings(**changes),
    without=("backend",),
    backend=(
        DFTSettings.__pydantic_fields__["backend"].annotation,
        Field(description="The program that computes, or none."),
    ),
    at_most=(
        Annotated[int, Field(ge=1, le=1000), Because("DFT takes an hour for each candidate")],
        Field(description="Best small candidates that are computed."),
    ),
)


class Validate(Section):
    """Relaxations, hulls, phonons and DFT of candidates."""

    potential: Potential
    """Potential of relaxations and energies, a name of the registry (`matwheel.potentials.potentials`; emt
    only for tests on its seven metals).
    """
    phonon_potential: Potential
    """Potential of the phonons."""
    second_opinion: Potential | None
    """A second potential that judges dynamical stability too, by the same procedure. Where both decide and
    differ the crystal is undecided; what one of them leaves open, the other does not settle. null: none.
    """
    relax_at_most: Relaxations
    """Crystals relaxed per set; of more, a random sample is drawn that no property decides."""
    shard_size: PerShard
    """Crystals per relaxation job."""
    relaxation: Annotated[RelaxationSettings, GIVEN]
    """Limits of a relaxation."""
    hull: Annotated[HullSettings, GIVEN]
    """Thresholds of the verdicts of the hulls."""
    reference_shards: JobShards
    """Jobs among which the reference structures of a set are divided."""
    phonons_at_most: Phonons
    """Crystals per set that get phonons, the nearest to the hull first."""
    phonon_shard_size: PerShard
    """Crystals per phonon job."""
    phonons: Annotated[PhononSettings, GIVEN]
    """How phonons are computed and judged."""
    born_charges: PathText | None
    """Folder of Born charges and dielectric tensors: files of phonopy with their structure and a section nac
    (.yaml, also compressed), or folders with POSCAR and BORN. Each is used for the crystal that has its
    structure: longitudinal and transverse modes split at Γ. null: none.
    """
    dft: DFTOfCandidates
    """DFT of a few candidates, and what counts as agreement."""

    @model_validator(mode="after")
    def _another_opinion(self) -> Validate:
        if self.second_opinion == self.phonon_potential:
            raise WrongSetting(
                "validate.phonon_potential is the same; a second opinion is that of another potential",
                "second_opinion",
            )
        return self


class ComputedProperty(Section):
    """A property under a name of your choice, or other settings of one of the registry."""

    property: name_of(PROPERTIES) | None = None
    """Name of the registry (`matwheel.properties.registry`); null for the entry's own name."""
    potential: Potential | None = None
    """Potential that computes it; null for properties.potential."""
    settings: dict[str, Any] = {}  # noqa: RUF012  # pydantic copies it
    """Single settings that replace the property's defaults."""


class Properties(Section):
    """Properties that a potential computes, of the datasets whose registry entry names them, and of any
    crystals by the name of their file (docs/properties.md).
    """

    potential: Potential
    """Potential of properties that name no other."""
    shard_size: PerShard
    """Crystals per job; a property that needs no potential is computed in one."""
    computed: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], ComputedProperty]
    """Properties beside those of the registry, by a name of your choice, for instance ionic_response_l3i5: {
    property: ionic_response, potential: 7net-l3i5 }; or one of the registry's names with other settings.
    """
    oracle_cards: bool
    """Whether the cards of the datasets' properties are among the headline results; they can be asked for by
    name anyway.
    """

    @model_validator(mode="after")
    def _can_be_made(self) -> Properties:
        for name, choice in self.computed.items():
            kind = choice.property or name
            if kind not in PROPERTIES:
                near = get_close_matches(kind, PROPERTIES, n=1)
                advice = f"it is none of {', '.join(PROPERTIES)}; say which with `property`"
                meant = f"; did you mean {near[0]}?" if near else ""
                raise WrongSetting(advice + meant, f"computed.{name}")
            try:
                make_property(kind, choice.settings)
            except RefusedSettings as error:
                raise RefusedSettings("", ("computed", name, "settings", *error.path), error.fault) from None
        return self


class ImportedTable(Section):
    """A user's own crystals in a table."""

    path: PathText
    """The file or folder."""
    crystal_column: Name = ""
    """Column of the crystals in a table, where it has an unusual name."""
    id_column: Name = ""
    """Column of the ids in a table, where it has an unusual name."""


class Report(Section):
    """What results/report.html shows of the candidates."""

    candidate_sheets: Annotated[int, Field(ge=0, le=10_000), Because("a page holds fewer")]
    """Candidates per set, the best first, that get a sheet with structure, history and CIF; half as many, or
    fewer, where the page would have more than 10 MB.
    """
    listed_candidates: Annotated[int, Field(ge=0, le=100_000), Because("a page holds fewer")]
    """Candidates that are named behind each count of a funnel; the others are only counted."""
