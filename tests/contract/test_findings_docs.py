"""The page on findings has a section for each that `doctor` knows, in its order and in its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pydra_core._commands.doctor.findings import MEANINGS, Finding

PAGE = Path(__file__).parents[2] / "docs/user/doctor-findings.md"
SECTIONS = dict(
    re.findall(r"^## (\S+)\n\n(.+?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)


def test_every_finding_has_its_section_and_no_section_is_left_over():
    assert list(SECTIONS) == [str(finding) for finding in Finding]


@pytest.mark.parametrize("finding", Finding)
def test_a_section_says_what_the_finding_means_and_then_what_to_do(finding):
    meaning, remedy = (part.replace("\n", " ") for part in SECTIONS[finding].split("\n\n", 1))
    said = MEANINGS[finding]
    assert meaning == said[0].upper() + said[1:] + "."
    assert len(remedy) > 40


def test_the_remedies_name_settings_that_exist():
    """What is in code font and looks like a setting is one of the driver's or of the chart's."""
    root = PAGE.parents[2]
    settings = (root / "docs/reference/settings.md").read_text()
    values = (root / "charts/dra-driver/README.md").read_text()
    code = set(re.findall(r"`([^`\n]+)`", PAGE.read_text()))
    named = {each for each in code if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", each)}
    assert {"KUBELET_ROOT", "CDI_DIR", "NODE_NAME"} <= named
    assert {each for each in named if f"`{each}`" not in settings} == set()
    for value in ("kubeletRootDir", "cdiDir", "networkPolicy.apiServerPorts", "rbac.create"):
        assert value in code
        assert f"| `{value}` |" in values
