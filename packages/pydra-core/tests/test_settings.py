from __future__ import annotations

from pathlib import Path

import pytest

from pydra_core.errors import ConfigError
from pydra_core.settings import Settings, all_keys, load


def test_defaults_are_the_kubelets():
    settings = load(None, {}, {})
    assert settings == Settings()
    assert settings.kubelet_root == Path("/var/lib/kubelet")


def test_flags_beat_environment_beats_file_beats_default(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("node_name: from-file\ncdi_dir: /from-file\nlog_level: debug\n")
    environ = {"NODE_NAME": "from-env", "CDI_DIR": "/from-env"}
    settings = load(file, environ, {"node_name": "from-flag"})
    assert (settings.node_name, settings.cdi_dir, settings.log_level) == (
        "from-flag",
        Path("/from-env"),
        "debug",
    )


def test_the_prototypes_variables_still_work():
    variables = {
        "NODE_NAME",
        "SOCKET_PATH",
        "KUBELET_SOCKET_PATH",
        "REGISTRATION_SOCKET_PATH",
        "CDI_DIR",
    }
    assert variables <= {key.env for key in all_keys()}


def test_an_unknown_key_in_the_file_is_refused_with_the_known_ones(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("node_nmae: typo\n")
    with pytest.raises(ConfigError, match=r"node_nmae.*known are node_name"):
        load(file, {}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discover_interval", "0"),
        ("discover_interval", "soon"),
        ("discover_interval", "inf"),
        ("drain_timeout", "nan"),
        ("pod_uid", "../../etc"),
        ("log_level", "loud"),
        ("http_address", "9090"),
    ],
)
def test_a_value_that_does_not_parse_names_key_and_source(name, value):
    with pytest.raises(ConfigError, match=rf"setting {name}: '{value}' from flag --"):
        load(None, {}, {name: value})


@pytest.mark.parametrize("text", ["- a list", "{broken", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        load(file, {}, {})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml", {}, {})


def test_a_key_set_to_nothing_in_the_file_counts_as_not_set(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("kubeconfig:\nlog_level: debug\n")
    assert load(file, {}, {}).kubeconfig == ""
