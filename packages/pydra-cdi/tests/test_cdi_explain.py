"""`explain` names every file that has a say in a device, what became of it and who must act."""

import pytest

from pydra_cdi import Registry, SpecBuilder, SpecDirectory, SpecError
from pydra_cdi.explain import explain

KIND = "acme.example/card"


def write(directory, name, *devices, kind=KIND):
    builder = SpecBuilder(kind)
    for device in devices:
        builder = builder.device(device).env(A="1").done()
    return SpecDirectory(directory).write_named(builder.build(), name).path


def explained(directories, device="x"):
    return explain(Registry(directories).refresh(), f"{KIND}={device}")


def fates(explanation):
    return [(one.path, one.priority, one.position, one.fate) for one in explanation.definitions]


def test_the_winner_is_told_and_so_is_every_file_it_shadows(tmp_path):
    low, high = tmp_path / "etc", tmp_path / "run"
    shadowed = write(low, "a.json", "w", "x")
    winner = write(high, "b.json", "x")
    write(high, "other.json", "x", kind="acme.example/other")

    found = explained([low, high])

    assert fates(found) == [(shadowed, 0, 1, "shadowed"), (winner, 1, 0, "wins")]
    assert found.winner is found.definitions[1]
    assert found.definitions[0].others == (winner,)
    assert (found.unused, found.near) == ((), ())
    assert found.sentences == (
        f"{KIND}=x comes from {winner}",
        (
            f"{shadowed} defines it at devices[1], but {winner} of a later directory beats it; "
            f"if this definition is wanted, whoever wrote {winner} must remove it"
        ),
        f"{winner} defines it at devices[0], and that counts",
    )


def test_a_conflict_is_told_for_each_of_its_files_and_for_those_it_spoils(tmp_path):
    low, high = tmp_path / "etc", tmp_path / "run"
    one, two = write(low, "1.json", "x"), write(low, "2.json", "x")
    spoiled = write(high, "3.json", "x")

    found = explained([low, high])

    assert found.winner is None
    assert fates(found) == [
        (one, 0, 0, "conflict"),
        (two, 0, 0, "conflict"),
        (spoiled, 1, 0, "conflict"),
    ]
    assert [d.others for d in found.definitions] == [(two,), (one,), (one, two)]
    assert found.sentences[0] == (
        f"{KIND}=x cannot be injected: its definitions contradict each other"
    )
    assert f"because of {one} and {two}: one directory may define a device only once" in str(
        found.definitions[2]
    )


def test_a_device_that_nobody_defines_comes_with_those_spelled_alike(tmp_path):
    write(tmp_path, "a.json", "card-0", "card-1", "unlike")
    write(tmp_path, "b.json", "card-3", kind="acme.example/other")

    found = explained([tmp_path], "card-3")

    assert found.definitions == ()
    assert sorted(found.near) == [f"{KIND}=card-0", f"{KIND}=card-1"]
    assert found.sentences[0] == (
        f"{KIND}=card-3 cannot be injected: no valid file in {tmp_path} defines it; "
        "the driver of that vendor must write its spec file there"
    )
    assert found.sentences[1].startswith("spelled alike are ")
    other = explain(Registry([tmp_path]).refresh(), "acme.exampl/other=card-3")
    assert other.near[0] == "acme.example/other=card-3", "a kind that nobody has may be misspelled"
    assert "in no directory defines it" in explained([]).sentences[0]


def test_files_and_directories_that_are_not_used_may_have_defined_it(tmp_path):
    write(tmp_path / "a", "good.json", "y")
    bad = tmp_path / "a" / "bad.json"
    bad.write_text('{"cdiVersion":')
    (tmp_path / "file").write_text("x")

    found = explained([tmp_path / "a", tmp_path / "file", tmp_path / "later"])

    assert [unused.path for unused in found.unused] == [bad, tmp_path / "file", tmp_path / "later"]
    told = [line for line in found.sentences if "may be defined in a file that is not used" in line]
    assert len(told) == 3
    assert str(bad) in told[0]
    assert f"because {tmp_path / 'file'} before it cannot be listed" in told[2]
    unhurt = explained([tmp_path / "a", tmp_path / "file"], "y")
    assert unhurt.unused
    assert len(unhurt.sentences) == 2, "what does not matter for the device is not told"


def test_what_is_no_device_id_is_refused(tmp_path):
    with pytest.raises(SpecError, match="write it as vendor/class=name"):
        explain(Registry([tmp_path]).refresh(), "card")


def test_what_contradicts_itself_needs_no_other_file_and_no_other_name_to_be_explained(tmp_path):
    write(tmp_path, "1.json", "x", "xx")
    write(tmp_path, "2.json", "x")
    (tmp_path / "bad.json").write_text("{")

    found = explained([tmp_path])

    assert [one.path.name for one in found.unused] == ["bad.json"]
    assert found.near == ()
    assert not any("bad.json" in sentence for sentence in found.sentences)
    assert "bad.json" in explained([tmp_path], "gone").sentences[1]
