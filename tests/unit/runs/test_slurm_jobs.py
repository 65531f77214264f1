from pathlib import Path

import pytest
import yaml

from matwheel.command_line.cli import main
from matwheel.core.errors import InputError
from matwheel.runs.run_lock import take_run_lock
from matwheel.runs.slurm_jobs import jobs_of_project

ROOT = Path(__file__).resolve().parents[3]
RUN = "9384dccc-c46d-495d-8287-80f4e3fae91d"


def test_only_jobs_of_this_folder_and_of_a_run_are_found(tmp_path):
    mine, other = tmp_path / "my | project", tmp_path / "other"
    mine.mkdir()
    (tmp_path / "link").symlink_to(mine)
    # The profile is what names them.
    prefix = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["slurm-jobname-prefix"]
    listing = "\n".join(
        (
            f"11|{prefix}_{RUN}|{mine}",
            f"12|{prefix}_{RUN}|{tmp_path / 'link'}",
            f"13|{prefix}_{RUN}|{other}",
            f"14|{prefix}|{mine}",  # the user's own job, which may be the one that runs snakemake
            f"15|{RUN}|{mine}",
            f"16|{prefix}_{RUN}|{mine / 'folder'}",
            "",
        )
    )
    assert jobs_of_project(listing, mine) == ["11", "12"]
    assert jobs_of_project("", mine) == []


def test_one_run_at_a_time(tmp_path):
    lock = take_run_lock(tmp_path)
    with pytest.raises(InputError, match="another run is working in this folder"):
        take_run_lock(tmp_path)
    lock.close()
    take_run_lock(tmp_path).close()


def test_resume_refuses_while_a_run_is_alive_and_without_slurm(tmp_path, capsys, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with take_run_lock(tmp_path):
        assert main(["resume", "--", "results/table2.csv"]) == 1
    assert "another run is working" in capsys.readouterr().err
    assert main(["resume", "--", "results/table2.csv"]) == 1
    assert "squeue is not installed here" in capsys.readouterr().err
