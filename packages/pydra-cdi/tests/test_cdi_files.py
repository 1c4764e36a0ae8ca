"""Spec files appear at once and whole, stay in their directory and leave nothing behind."""

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_cdi import (
    ContainerEdits,
    Device,
    Spec,
    SpecBuilder,
    SpecDirectory,
    SpecError,
    SpecFileError,
    encode_spec,
    read_spec,
)
from pydra_cdi._atomic import TEMP_PREFIX, TEMP_SUFFIX
from pydra_cdi.file_names import spec_file_name

KIND = "acme.example/card"
IN_BETWEEN = []  # (event of the interpreter, what another process does just before it)


def in_between(event, args):
    """Let a race happen at the one moment where it matters: the interpreter tells what it is about to do."""
    expected = event in {"fcntl.flock", "os.mkdir"} or str(args[:1]).endswith(".tmp',)")
    if expected and IN_BETWEEN and event == IN_BETWEEN[-1][0]:
        IN_BETWEEN.pop()[1]()


sys.addaudithook(in_between)

# Runs in its own process: its writes fail, or kill it, at the given size, as on a full disk or in a crash.
LIMITED_WRITER = """
import resource, signal, sys
from pathlib import Path
from pydra_cdi import SpecBuilder, SpecDirectory, SpecFileError
path, fate = Path(sys.argv[1]), sys.argv[2]
if fate == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
spec = SpecBuilder("acme.example/card").device("a").env(BIG="x" * 100_000).done().build()
try:
    SpecDirectory(path).write(spec, "claim")
except SpecFileError as error:
    print(error)
"""


def spec(value="1", kind=KIND):
    return SpecBuilder(kind).device("card0").env(VALUE=value).done().build()


def limited_writer(path, fate):
    command = [sys.executable, "-c", LIMITED_WRITER, str(path), fate]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_spec_is_written_readable_for_all_and_read_back(tmp_path):
    directory = SpecDirectory(tmp_path / "new" / "cdi")
    old_umask = os.umask(0o077)
    try:
        written = directory.write(spec(), "claim-1")
    finally:
        os.umask(old_umask)

    assert written.changed
    assert written.path == tmp_path / "new" / "cdi" / "acme.example-card_claim-1.json"
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o644
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o755
    assert read_spec(written.path) == spec()


def test_an_unchanged_spec_is_not_written_again(tmp_path):
    directory = SpecDirectory(tmp_path, fsync=True)
    first = directory.write(spec())
    before = first.path.stat().st_ino, first.path.stat().st_mtime_ns

    assert not directory.write(spec()).changed
    assert (first.path.stat().st_ino, first.path.stat().st_mtime_ns) == before

    assert directory.write(spec("2")).changed
    assert read_spec(first.path) == spec("2")


def test_a_file_with_another_mode_or_a_link_in_its_place_is_replaced(tmp_path):
    directory = SpecDirectory(tmp_path)
    path = directory.write(spec()).path
    path.chmod(0o600)
    assert directory.write(spec()).changed
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(elsewhere)
    assert directory.write(spec()).changed
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == b"precious"


def test_a_spec_that_breaks_rules_is_not_written(tmp_path):
    with pytest.raises(SpecError):
        SpecDirectory(tmp_path).write(Spec("0.3.0", KIND, [Device("a", ContainerEdits())]))

    assert list(tmp_path.iterdir()) == []


def test_removing_tells_whether_there_was_something(tmp_path):
    directory = SpecDirectory(tmp_path, fsync=True)
    directory.write(spec(), "claim")

    assert directory.remove(KIND, "claim")
    assert not directory.remove(KIND, "claim")
    assert not SpecDirectory(tmp_path / "missing").remove(KIND)


def test_the_file_of_another_kind_that_shares_the_name_is_not_overwritten(tmp_path):
    directory = SpecDirectory(tmp_path)
    directory.write(spec(kind="ven-dor/card"))

    with pytest.raises(SpecFileError, match="holds a spec of kind ven-dor/card"):
        directory.write(spec(kind="ven/dor-card"))


def test_a_damaged_file_of_ours_is_overwritten(tmp_path):
    directory = SpecDirectory(tmp_path)
    directory.file(KIND).write_bytes(b"{half")

    assert directory.write(spec()).changed
    assert read_spec(directory.file(KIND)) == spec()


def test_a_file_too_large_to_be_a_spec_is_overwritten(tmp_path):
    directory = SpecDirectory(tmp_path)
    directory.file(KIND).touch()
    os.truncate(directory.file(KIND), 9 * 1024 * 1024)

    assert directory.write(spec()).changed
    assert read_spec(directory.file(KIND)) == spec()


def test_an_id_that_is_too_long_for_a_file_name_is_refused():
    room = 255 - len(spec_file_name(KIND, "x")) + 1
    assert len(spec_file_name(KIND, "x" * room)) == 255
    with pytest.raises(SpecError, match="longer than 255 bytes; use a shorter ID"):
        spec_file_name(KIND, "x" * (room + 1))


@settings(deadline=None)
@given(
    st.text(max_size=300) | st.sampled_from(["..", "../x", "/etc/passwd", "a/../../b", "\0", ""])
)
def test_no_id_leads_out_of_the_directory(transient_id):
    try:
        name = spec_file_name(KIND, transient_id)
    except SpecError:
        return
    assert "/" not in name
    assert "\0" not in name
    assert name.startswith("acme.example-card_")
    assert name.endswith(".json")
    assert len(os.fsencode(name)) <= 255


@pytest.mark.parametrize("kind", ["../x/y", "a/..", "a/b/c", "/abs", "", ".hidden/c"])
def test_no_kind_leads_out_of_the_directory(kind):
    with pytest.raises(SpecError):
        spec_file_name(kind)


def test_readers_see_the_old_file_or_the_new_one_and_nothing_between(tmp_path):
    directory = SpecDirectory(tmp_path)
    versions = [spec("a" * 50_000), spec("b" * 100_000)]
    path = directory.write(versions[0]).path
    whole = {encode_spec(version) for version in versions}
    torn, reads, stop = [], 0, threading.Event()

    def read():
        nonlocal reads
        while not stop.is_set() or not reads:
            data = path.read_bytes()
            reads += 1
            if data not in whole:
                torn.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(300):
            directory.write(versions[turn % 2])
    finally:
        stop.set()
        reader.join()
    assert reads
    assert torn == []


def test_the_leftover_of_a_killed_writer_is_found_and_removed(tmp_path):
    directory = SpecDirectory(tmp_path)
    assert limited_writer(tmp_path, "killed").returncode < 0
    (leftover,) = tmp_path.iterdir()
    assert leftover.stat().st_size

    assert directory.sweep() == (leftover,)
    assert list(tmp_path.iterdir()) == []
    assert directory.sweep() == ()
    assert SpecDirectory(tmp_path / "missing").sweep() == ()


def test_the_work_of_a_live_writer_is_left_alone(tmp_path):
    limited_writer(tmp_path, "killed")
    (temporary,) = tmp_path.iterdir()
    with temporary.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert SpecDirectory(tmp_path).sweep() == ()
    assert SpecDirectory(tmp_path).sweep() == (temporary,)


def test_a_temporary_file_that_a_cleaner_took_before_it_was_locked_is_made_again(tmp_path):
    directory = SpecDirectory(tmp_path)
    swept = []
    IN_BETWEEN.append(("fcntl.flock", lambda: swept.extend(directory.sweep())))

    path = directory.write(spec()).path

    assert len(swept) == 1
    assert list(tmp_path.iterdir()) == [path]
    assert read_spec(path) == spec()


def test_what_only_looks_like_a_leftover_is_left_alone_and_hangs_nobody(tmp_path):
    (tmp_path / f"{TEMP_PREFIX}link{TEMP_SUFFIX}").symlink_to("/etc/hostname")
    (tmp_path / f"{TEMP_PREFIX}directory{TEMP_SUFFIX}").mkdir()
    os.mkfifo(tmp_path / f"{TEMP_PREFIX}fifo{TEMP_SUFFIX}")
    leftover = tmp_path / f"{TEMP_PREFIX}zz{TEMP_SUFFIX}"
    leftover.touch()

    assert SpecDirectory(tmp_path).sweep() == (leftover,)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_leftover_that_somebody_else_removes_first_is_no_error(tmp_path):
    (tmp_path / ".pydra-cdi.0.tmp").touch()
    IN_BETWEEN.append(("open", (tmp_path / ".pydra-cdi.0.tmp").unlink))
    assert SpecDirectory(tmp_path).sweep() == ()
    assert IN_BETWEEN == []


def test_a_directory_that_another_writer_makes_first_is_no_error(tmp_path):
    place = tmp_path / "cdi"
    IN_BETWEEN.append(("os.mkdir", place.mkdir))

    assert SpecDirectory(place).write(spec()).changed
    assert IN_BETWEEN == []


def test_a_writer_that_is_interrupted_leaves_nothing_behind(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    IN_BETWEEN.append(("fcntl.flock", interrupt))
    with pytest.raises(KeyboardInterrupt):
        SpecDirectory(tmp_path).write(spec())
    assert list(tmp_path.iterdir()) == []


def test_writers_and_cleaners_at_work_together_lose_nothing(tmp_path):
    directory = SpecDirectory(tmp_path)
    failures = []

    def write(name):
        try:
            for turn in range(100):
                directory.write(spec(f"{name}{turn}"), name)
        except Exception as error:  # noqa: BLE001 - a thread's failure belongs to the test
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        directory.sweep()
    for writer in writers:
        writer.join()

    assert failures == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"acme.example-card_{n}.json" for n in "abcd"
    ]


def test_a_write_that_fails_midway_keeps_the_old_file_and_says_what_to_do(tmp_path):
    directory = SpecDirectory(tmp_path)
    path = directory.write(spec(), "claim").path

    told = limited_writer(tmp_path, "refused").stdout

    assert (
        told
        == f"{path}: it cannot be changed: File too large; raise the file size limit of this process\n"
    )
    assert list(tmp_path.iterdir()) == [path]
    assert read_spec(path) == spec()


def test_a_full_file_system_is_told_with_its_remedy(tmp_path):
    script = 'mount -t tmpfs -o size=4k tmpfs "$1" && dd if=/dev/zero of="$1/fill" 2>/dev/null; exec "$2" -c "$3" "$1" x'
    code = LIMITED_WRITER.replace("(1000, 1000)", "(10**6, 10**6)")
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("mounting needs root")

    assert done.stdout.endswith("No space left on device; free space on that file system\n")


def test_a_directory_that_takes_no_files_is_told_with_its_remedy():
    directory = SpecDirectory(Path("/sys/kernel/cdi-of-a-test"))

    with pytest.raises(SpecFileError) as caught:
        directory.write(spec())

    assert str(caught.value.path) == "/sys/kernel/cdi-of-a-test/acme.example-card.json"
    assert "choose another CDI directory" in caught.value.remedy


def test_a_file_where_the_directory_belongs_is_told_with_its_remedy(tmp_path):
    (tmp_path / "cdi").write_text("x")

    with pytest.raises(
        SpecFileError, match="remove the file that stands where a directory belongs"
    ):
        SpecDirectory(tmp_path / "cdi" / "sub").write(spec())
    (tmp_path / "acme.example-card.json").mkdir()
    with pytest.raises(
        SpecFileError, match="remove the directory that stands where the file belongs"
    ):
        SpecDirectory(tmp_path).write(spec())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acme.example-card.json", "cdi"]


def test_what_was_encoded_before_is_put_as_it_is_and_an_equal_file_left_alone(tmp_path):
    made = spec()
    directory = SpecDirectory(tmp_path)
    assert directory.put(made.kind, encode_spec(made), "claim").changed
    assert not directory.write(made, "claim").changed
    assert directory.file(made.kind, "claim").read_bytes() == encode_spec(made)
