"""The README's example runs as printed, and the public face stays small."""

import re
import subprocess
import sys
from pathlib import Path

import pydra_cdi

README = Path(__file__).parents[1] / "README.md"


def test_the_example_of_the_readme_runs_as_printed(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)

    exec(compile(code, str(README), "exec"), {})

    assert len(code.strip().splitlines()) <= 16
    assert capsys.readouterr().out == "['ACME=1', 'CARD=0']\n"


def test_the_public_face_is_small_and_whole():
    assert len(pydra_cdi.__all__) <= 25
    assert sorted(pydra_cdi.__all__) == pydra_cdi.__all__
    assert all(hasattr(pydra_cdi, name) for name in pydra_cdi.__all__)


def test_programs_that_see_only_json_never_load_a_yaml_parser():
    code = "import sys, pydra_cdi; sys.exit('yaml' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
