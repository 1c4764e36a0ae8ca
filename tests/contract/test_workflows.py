"""Our workflows keep the rules of tools/check_workflows.py, and each rule finds what it is for."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
SHA = "3d3c42e5aac5ba805825da76410c181273ba90b1"
GOOD = f"""\
name: good
on: push
permissions: {{}}
defaults:
  run:
    shell: bash
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    env:
      BRANCH: ${{{{ github.head_ref }}}}
      IMAGE: acme/tool:v1@sha256:{"0" * 64}
    steps:
      - uses: actions/checkout@{SHA} # v7.0.1
        with:
          persist-credentials: false
      - uses: ./.github/actions/ours
      - run: echo "$BRANCH"
"""


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_workflows

    return check_workflows


@pytest.fixture
def found(tool, tmp_path):
    """Faults of a workflow with this text."""

    def look(*texts):
        files = [tmp_path / f"{number}.yml" for number, _ in enumerate(texts)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return list(tool.own_faults([tool.read(file, tmp_path) for file in files]))

    return look


def test_ours_keep_every_rule(tool):
    assert [file.name for file in FILES] == ["ci.yml", "e2e.yml", "release.yml"]
    assert list(tool.own_faults([tool.read(file, ROOT) for file in FILES])) == []


def test_a_good_workflow_has_no_fault(found):
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f"@{SHA} # v7.0.1", "@v7", "line 17: actions/checkout@v7 must be pinned by the 40 digits"),
        (f"@{SHA}", f"@{SHA[:39]}", "must be pinned by the 40 digits of a commit"),
        (" # v7.0.1", "", "needs its version behind it"),
        (" # v7.0.1", " # v7", "needs its version behind it"),
        (f"@sha256:{'0' * 64}", "", "line 15: image acme/tool:v1 must be pinned by digest"),
        ("permissions: {}\n", "", "must begin with `permissions: {}`"),
        ("permissions: {}\n", "permissions: read-all\n", "must begin with `permissions: {}`"),
        ("    permissions:\n      contents: read\n", "", "one: needs `permissions`"),
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n", "one: needs `perm"),
        ("24.04", "latest", "one: runs-on 'ubuntu-latest' is none of"),
        ("    timeout-minutes: 5\n", "", "one: needs `timeout-minutes`"),
        ("    shell: bash", "    shell: sh", "needs `defaults:"),
        ('"$BRANCH"', "${{ github.head_ref }}", "one: step 3: a script must get values through `env`"),
        ("persist-credentials: false", "fetch-depth: 0", "one: step 1: a checkout needs `persist-c"),
        ("on: push", "on: [pull_request_target]", "must not run with the repository's rights"),
        ("on: push", "on:\n  workflow_run:\n    workflows: [ci]", "must not run with the repo"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named_with_its_place(found, old, new, said):
    assert old in GOOD
    (fault,) = found(GOOD.replace(old, new))
    assert fault.startswith("0.yml: ")
    assert said in fault


def test_two_workflows_use_one_version_of_an_action(found):
    (fault,) = found(GOOD, GOOD.replace("# v7.0.1", "# v7.0.2"))
    assert fault.startswith("actions/checkout is pinned in 2 ways: ")


def test_only_what_publishes_may_write_and_it_runs_in_the_environment_release():
    for file in FILES:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            writes = {right for right, level in job["permissions"].items() if level == "write"}
            allowed = {"contents", "packages", "id-token", "attestations"}
            publishes = file.name == "release.yml" and job.get("environment") == "release"
            assert writes <= (allowed if publishes else set()), f"{file.name}: {name}"


def test_ci_waits_for_all_its_jobs():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert set(jobs["passed"]["needs"]) == set(jobs) - {"passed"}


def test_every_kind_node_is_pinned_and_named_as_the_version_it_has():
    jobs = yaml.safe_load((ROOT / ".github/workflows/e2e.yml").read_text())["jobs"]
    nodes = jobs["kind"]["strategy"]["matrix"]["include"]
    assert [node["kubernetes"].rsplit(".", 1)[0] for node in nodes] == [
        "v1.34", "v1.35", "v1.36", "v1.37",
    ]  # fmt: skip
    for node in nodes:
        assert node["image"].startswith(f"kindest/node:{node['kubernetes']}@sha256:")


def test_the_page_on_support_claims_the_versions_that_ci_has():
    page = (ROOT / "docs/user/support-matrix.md").read_text()
    e2e = yaml.safe_load((ROOT / ".github/workflows/e2e.yml").read_text())["jobs"]
    for node in e2e["kind"]["strategy"]["matrix"]["include"]:
        assert node["kubernetes"].removeprefix("v") in page
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    pythons = jobs["everything"]["strategy"]["matrix"]["python"]
    assert f"| Python {', '.join(pythons)} |" in page
    assert jobs["arm64"]["runs-on"].endswith("-arm")
