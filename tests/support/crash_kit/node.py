"""One node in a folder: runs steps on it in a driver that may break, and says whether what is left is right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from crash_kit.disk import Disk
from crash_kit.interposer import Event, read_log
from crash_kit.zygote import CLAIMS, NAME, uid_of
from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger


class Zygote:
    """The process all runs are forked from; loads Python once and the interposer into every run."""

    def __init__(self, library: Path, errors: Path) -> None:
        self.errors = errors
        self._errors = errors.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            env=os.environ | {"LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def run(self, job: dict) -> int:
        """Run one job; returns its exit code, or minus the signal that ended it."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = os.waitstatus_to_exitcode(int(self._process.stdout.readline()))
        assert code in {0, 2, -signal.SIGKILL}, (
            f"exit code {code}: {self.errors.read_text()[-4000:]}"
        )
        return code

    def close(self) -> None:
        self._process.communicate(timeout=30)
        self._errors.close()


@dataclass(frozen=True)
class Run:
    """What one run of a driver did."""

    code: int
    events: list[Event]

    @cached_property
    def answers(self) -> list[dict]:
        """The answers that left, in order: `call`, `claims`, `answers` by claim name."""
        return [json.loads(e.data) for e in self.events if e.call == "answer"]

    @property
    def refused(self) -> str:
        """Why the driver did not start."""
        return "".join(json.loads(e.data) for e in self.events if e.call == "refused")

    @property
    def calls(self) -> list[Event]:
        """The numbered calls."""
        return [e for e in self.events if e.number]

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def errors(event: Event) -> list[str]:
    """The errors of an answer."""
    return [c["error"] for c in json.loads(event.data)["answers"].values() if c["error"]]


def answered(events: list[Event]) -> int:
    """How many answers left without an error."""
    return sum(e.call == "answer" and not errors(e) for e in events)


def step(call: str, *claims: str) -> dict:
    """One call of the kubelet."""
    return {"call": call, "claims": list(claims)}


@dataclass
class Node:
    """A folder with the kubelet's directory, the CDI directory and the hardware."""

    zygote: Zygote
    root: Path
    switched: bool
    compacting: bool = False
    """Whether the journal is rewritten after a few records already, not only once it is large."""
    damaged: bool = False
    """Whether a journal set aside is in order: bytes may reach a disk in another order than they were written."""
    _runs: int = field(default=0)

    def __post_init__(self) -> None:
        for folder in (self.plugins, self.cdi, self.hardware):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def plugins(self) -> Path:
        return self.root / "kubelet" / "plugins"

    @property
    def journal(self) -> Path:
        return self.plugins / NAME / "journal"

    @property
    def cdi(self) -> Path:
        return self.root / "cdi"

    @property
    def hardware(self) -> Path:
        return self.root / "hw"

    def fault(self, errno: int, below: Path) -> tuple[dict, dict, dict]:
        """Steps that begin and end a fault of every call below a folder, and the variable that arms it."""
        file = str(self.root / "fault")
        armed = {"CRASH_FAIL_WHILE": f"{file}:{errno}:{below}"}
        return {"call": "touch", "file": file}, {"call": "unlink", "file": file}, armed

    def run(self, *steps: dict, retry: bool = False, **environ: str) -> Run:
        """Start a driver, let it do the steps (`retry`: ask again after an error), stop it."""
        self._runs += 1
        log = self.root / f"log-{self._runs}"
        traced = {
            "CRASH_ROOTS": f"{self.plugins}:{self.cdi}:{self.hardware}",
            "CRASH_SPARE": str(self.hardware),
            "CRASH_LOG": str(log),
        }
        job = {
            "root": str(self.root),
            "switched": self.switched,
            "compacting": self.compacting,
            "steps": steps,
            "retry": retry,
        }
        code = self.zygote.run(job | {"environ": traced | environ})
        run = Run(code, read_log(log))
        log.unlink(missing_ok=True)
        return run

    def reset(self) -> None:
        """Be as new again."""
        for folder in (self.plugins, self.cdi, self.hardware):
            shutil.rmtree(folder)
            folder.mkdir(parents=True)

    def keep(self) -> Path:
        """Put aside what the node looks like now, for `back_to`; the caller removes it."""
        image = self.root / f"image-{self._runs}"
        for folder in ("kubelet", "cdi", "hw"):
            shutil.copytree(self.root / folder, image / folder)
        return image

    def back_to(self, image: Path) -> None:
        """Look again as when `keep` was called."""
        for folder in ("kubelet", "cdi", "hw"):
            shutil.rmtree(self.root / folder)
            shutil.copytree(image / folder, self.root / folder)

    def ledger(self) -> Ledger:
        """What the journal says, read here and not by the driver."""
        ledger = Ledger()
        data = self.journal.read_bytes()
        assert frames.version_of(data) == records.FORMAT
        for item in frames.read(data, frames.HEADER_SIZE):
            assert isinstance(item, frames.Frame), item
            ledger.apply(records.decode(item.payload))
        return ledger

    def prepared(self) -> set[str]:
        """Names of the claims that are prepared; everything on the node agrees with that, or this fails."""
        ledger = self.ledger()
        assert ledger.all_intents() == ()
        names = {record.name for record in ledger.all_prepared()}
        held = [device for name in names for device in CLAIMS[name]]
        assert len(held) == len(set(held)), f"a device is in two hands: {names}"
        specs = {f"{NAME}-claim_{uid_of(name)}.json": CLAIMS[name] for name in names}
        assert {f.name: _devices(f) for f in self.cdi.iterdir()} == specs
        files = {f.name for f in self.journal.parent.iterdir()}
        assert {f for f in files if not (self.damaged and ".damaged-" in f)} == {
            "journal",
            "journal.lock",
        }
        hardware = {d: uid_of(name) for name in names for d in CLAIMS[name]}
        found = {f.name: f.read_text() for f in self.hardware.iterdir()}
        assert found == (hardware if self.switched else {})
        return names


def _devices(spec: Path) -> list[str]:
    content = json.loads(spec.read_bytes())
    return [d["containerEdits"]["env"][0].removeprefix("CARD=") for d in content["devices"]]


class PowerCut:
    """Follows runs on a node from what it looks like now, to cut the power at any point of them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._disk = Disk(node.plugins)
        self._hardware = Disk(node.hardware)

    def replay(self, *events: Event) -> None:
        for event in events:
            self._disk.replay(event)
            self._hardware.replay(event)

    def cut(self, kept: float = 0.0) -> None:
        """Make the node look as after the cut: the CDI directory empty, hardware as it was set."""
        self.node.reset()
        self._disk.after_cut(self.node.plugins, kept=kept)
        self._hardware.after_cut(self.node.hardware, kept=1.0)
