"""`pydra new` as an author runs it, and everything it says to run next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
UV = os.environ.get("UV", "uv")


def run(*command, cwd, **environ):
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    env = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | {"PATH": path} | environ
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def new(cwd, *arguments):
    return run(sys.executable, "-P", "-m", "pydra_core", "new", *arguments, cwd=cwd)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_it_writes_four_files_and_the_command_it_prints_runs_them(tmp_path):
    done = new(tmp_path, "acme-cards", "--driver-name", "card.acme.example")
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == [
        "acme-cards/pyproject.toml",
        "acme-cards/src/acme_cards/__init__.py",
        "acme-cards/src/acme_cards/demo/1-first-claim.yaml",
        "acme-cards/tests/test_acme_cards.py",
    ]
    following = done.stdout.splitlines()[-1]
    demo = run("sh", "-c", following, cwd=tmp_path, COLUMNS="120")
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "Driver card.acme.example registered with the kubelet" in demo.stdout
    assert "  pod hello  Hello from cpu-0\n" in demo.stdout
    assert "1 of 1 pods succeeded" in demo.stdout


def test_what_it_writes_passes_its_own_tests(tmp_path):
    new(tmp_path, "acme")
    done = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "acme"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("name", ["a", "acme-cards", "a-name-of-thirty-characters-aa"])
def test_what_it_writes_is_clean_under_the_rules_of_this_house(tmp_path, name):
    longest = f"{'d' * 50}.example.com"
    assert new(tmp_path, name, "--driver-name", longest).returncode == 0
    folder = tmp_path / name
    config = ROOT / "pyproject.toml"
    for command in (
        ("ruff", "check", "--no-cache", "--config", config, "."),
        ("ruff", "format", "--no-cache", "--check", "--config", config, "."),
        ("mypy", "--strict", "--cache-dir", tmp_path / "mypy", *folder.rglob("*.py")),
    ):
        done = run(*command, cwd=folder, MYPYPATH=str(folder / "src"))
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_driver_is_short_and_can_be_diagnosed(tmp_path):
    new(tmp_path, "acme")
    source = tmp_path / "acme/src/acme/__init__.py"
    code = [line for line in source.read_text().splitlines() if line.strip()]
    assert len(code) <= 40
    done = run(sys.executable, source, "doctor", "-o", "json", "--laptop", cwd=tmp_path)
    checks = {c["check"]: c["state"] for c in json.loads(done.stdout)["checks"]}
    assert checks["driver: name"] == checks["driver: inventory"] == "ok"


def test_installed_from_its_wheel_it_is_found_by_its_entry_points(tmp_path):
    new(tmp_path, "acme")
    build = (UV, "build", "--wheel", "--no-sources", "--out-dir", tmp_path / "dist")
    if run(*build, "--offline", cwd=tmp_path / "acme").returncode:
        done = run(*build, cwd=tmp_path / "acme")
        assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = run("pydra", "demo", "--driver", "acme", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from cpu-0" in done.stdout


def test_its_ranges_on_pydras_packages_are_one_minor_version(tmp_path):
    new(tmp_path, "acme")
    project = tomllib.loads((tmp_path / "acme/pyproject.toml").read_text())
    assert project["project"]["dependencies"] == ["pydra-cdi>=0.1,<0.2", "pydra-core>=0.1,<0.2"]
    assert project["dependency-groups"]["test"][0] == "pydra-testbed>=0.1,<0.2"


def test_json_and_yaml_say_the_same(tmp_path):
    one, two = new(tmp_path, "one", "-o", "json"), new(tmp_path, "two", "-o", "yaml")
    document = json.loads(one.stdout)
    assert document["driver"] == "one.example.com"
    assert yaml.safe_load(two.stdout.replace("two", "one")) == document


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Acme",), "name 'Acme': must be lower-case letters and digits"),
        (("../acme",), "name '../acme': must be lower-case"),
        (("a" * 31,), "at most 30 characters"),
        (
            ("class",),
            "class is a word of the Python language; choose another, for example class-driver",
        ),
        (("json",), "json is a module of Python's own library"),
        (("pydra-core",), "pydra_core is a module that is installed here already"),
        (
            ("acme", "--driver-name", "Acme"),
            "driver name 'Acme': must be a lower-case DNS subdomain",
        ),
        (
            ("acme", "--driver-name", "3d.example"),
            "that begins with a letter; for example card.acme",
        ),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_rule(tmp_path, arguments, says):
    done = new(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_touched(tmp_path):
    mine = tmp_path / "acme" / "precious"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = new(tmp_path, "acme")
    assert done.returncode == 2
    assert "new: acme: exists already; choose another name, or move it away first" in done.stderr
    assert files(tmp_path) == ["acme/precious"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone}; exec {sys.executable} -P -m pydra_core new acme"
    done = run("sh", "-c", command, cwd=gone)
    assert done.returncode == 1
    assert "new: acme: cannot be made: No such file or directory; choose a folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
