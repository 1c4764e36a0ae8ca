"""The page about permissions: its tests pass, and its rules are those that doctor asks for."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import yaml

from pydra_core._commands.doctor.rights import rights_of
from pydra_pizza.driver import PizzaDriver

PAGE = Path(__file__).parents[2] / "docs" / "user" / "testbed-permissions.md"


async def test_the_tests_on_the_page_about_permissions_pass(tmp_path):
    examples = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in examples] == ["rbac.yaml", "test_driver.py", "test_permissions.py"]
    for name, content in examples:
        (tmp_path / name).write_text(content)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    programs = Path(sys.executable).parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert b"4 passed" in out


def test_the_rules_on_the_page_are_those_that_doctor_asks_for():
    (text,) = re.findall(
        r"<!-- example: rbac.yaml -->\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    role, _ = yaml.safe_load_all(text)
    named = {
        (group, resource, verb, *rule.get("resourceNames", [""]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = rights_of(PizzaDriver)
    assert named == {(right.group, right.resource, right.verb, right.name) for right in asked}
