"""The whole configuration, and one line of what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from matwheel.configuration.chapters import Funnel, MatGAN, Perturbation, Phonon, WyCryst, several
from matwheel.configuration.loop import (
    Conditions,
    Generator,
    ImportedTable,
    Predictor,
    Predictors,
    PredictorSettings,
    Properties,
    Report,
    Screen,
    Split,
    Validate,
)
from matwheel.configuration.parts import Name, PathText, Section
from matwheel.configuration.sections import SECTION_OF_CHAPTER
from matwheel.core.settings import DISTINCT, WrongSetting, fault_of


class Configuration(Section):
    """Settings of a matwheel run."""

    chapters: several(Literal[tuple(SECTION_OF_CHAPTER)])
    """Chapters of a run, in their order; of one that is not named neither settings (config/chapters/) nor
    rules (workflow/rules/chapters/) are read. matwheel makes Table 2 and the flywheel's candidates, perturb
    displaced training crystals, matgan compositions, wycryst genes, phonon displaced configurations.
    """
    seed: Annotated[int, Field(ge=0)]
    """The one seed; every job derives its own from it, the rule and the wildcards."""
    datasets: several(Name, 1)
    """Names of the datasets of the registry that the table covers."""
    dataset_registry: PathText
    """File that says where each dataset comes from and what it must look like."""
    mirror_folders: Annotated[tuple[PathText, ...], Field(strict=False)]
    """Folders searched for dataset files, in order, before any download."""
    store: PathText
    """Folder of what potentials have computed, kept by geometry so that nothing is computed twice; `matwheel
    store` says how large it is. Another folder, for instance one that several projects share, reruns nothing.
    """
    split: Split
    """How datasets are divided."""
    predictors: Annotated[tuple[Predictor, ...], Field(min_length=1, strict=False), DISTINCT]
    """Predictors that learn all six training sets of Table 2, names of the registry
    (`matwheel.predictors.registry`); the first is the row the paper has.
    """
    predictor_settings: PredictorSettings
    """Single settings that replace a predictor's defaults."""
    teacher: Predictor
    """Predictor whose predictions become the pseudo-labels of the semi-supervised columns."""
    judge: Predictor
    """Predictor, trained on all training rows, that judges which property a generated crystal has. Its rank
    correlation on real test crystals, the most that a generator can be seen to reach, stands beside. On the
    published splits: cgcnn 0.62 (jarvis2d) and 0.84 (poly), forest 0.75 and 0.83, latent 0.82 and 0.90;
    latent costs a single point per crystal of the null generators, some 20 ms.
    """
    baselines: Predictors
    """Predictors reported beside every column, on the full and the labelled training rows; constant, and none
    of `predictors`.
    """
    conditions: Conditions
    """Which property values crystals are generated for."""
    generator: Generator
    """What makes crystals."""
    screen: Screen
    """What generated crystals are asked before they are relaxed."""
    validate_: Annotated[Validate, Field(alias="validate")]
    """Relaxations, hulls, phonons and DFT of candidates."""
    properties: Properties
    """Properties that a potential computes."""
    imported: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")], PathText | ImportedTable]
    """Crystals made elsewhere, name to file or folder (CIF, extxyz, POSCAR, JSON, CSV or Parquet with a
    column of them, a zip or folder of such files), or name to that path with the names of columns; each goes
    through the same funnel to results/imported/NAME/candidates.csv.
    """
    headlines: Literal["existing", "planned"]
    """What results/report.html speaks of. existing: the results that are there when the plan is made, so that
    asking for it computes nothing new; planned: all headline results of the configuration, which are made
    first.
    """
    report: Report
    """What results/report.html shows of the candidates."""
    device: Literal["auto", "cpu", "cuda"]
    """auto takes CUDA when the job has it."""
    funnel: Funnel = Field(default=None)
    """Which sets of the flywheel go through screens and validation to results/candidates.csv."""
    perturbation: Perturbation = Field(default=None)
    """Training crystals with displaced atoms as further training rows."""
    matgan: MatGAN = Field(default=None)
    """Compositions by a GAN."""
    wycryst: WyCryst = Field(default=None)
    """Wyckoff genes with several properties."""
    phonon: Phonon = Field(default=None)
    """Crystals displaced along their vibrations or at random."""

    @model_validator(mode="after")
    def _go_together(self) -> Configuration:
        for number, name in enumerate(self.baselines):
            if name in self.predictors:
                raise WrongSetting("predictors has it too; name it in one of them", f"baselines.{number}")
        if "constant" not in self.baselines:
            raise WrongSetting("name constant too, what all others are compared with", "baselines")
        for number, run in enumerate(self.funnel.runs if self.funnel else ()):
            if run >= self.split.runs:
                last = self.split.runs - 1
                advice = f"split.runs is {last + 1}; give 0 to {last}" if last else "split.runs is 1; give 0"
                raise WrongSetting(advice, f"funnel.runs.{number}")
        for chapter in self.chapters:
            if getattr(self, SECTION_OF_CHAPTER[chapter]) is None:
                raise WrongSetting(f"chapter {chapter} needs it", SECTION_OF_CHAPTER[chapter])
        return self


def fault_of_configuration(values: Mapping[str, Any]) -> str:
    """Return in one line what is wrong with a configuration, by key path; the empty text where nothing is."""
    try:
        Configuration.model_validate(values)
    except ValidationError as error:
        return fault_of(error, values, Configuration)
    return ""
