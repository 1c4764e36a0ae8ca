from __future__ import annotations

import msgspec
import pytest

from pydra_core import ClaimConfigError, ClaimRef
from pydra_core._api.config import Configs, Opaque, RawConfig

REF = ClaimRef(uid="u", namespace="ns", name="c")


class Model(msgspec.Struct, forbid_unknown_fields=True):
    size: int


def entry(size, *requests, source="FromClaim", driver="card.acme.example"):
    parameters = msgspec.Raw(msgspec.json.encode({"size": size}))
    return RawConfig(source, list(requests), Opaque(driver, parameters))


def configs(*entries, model=Model):
    return Configs(REF, "card.acme.example", model, list(entries))


def test_without_entries_there_is_no_config():
    assert configs().for_request("card") is None


def test_the_claim_wins_over_the_class_wherever_it_stands():
    both = configs(entry(1), entry(2, source="FromClass"))
    assert both.for_request("card") == Model(1)


def test_the_last_matching_entry_wins():
    assert configs(entry(1), entry(2), entry(3, "other")).for_request("card") == Model(2)


def test_a_base_request_covers_its_subrequests_but_not_the_other_way():
    base = configs(entry(1, "card"), entry(2, "card/small"))
    assert base.for_request("card/small") == Model(2)
    assert base.for_request("card/large") == Model(1)


def test_other_drivers_parameters_are_not_ours():
    assert configs(entry(1, driver="other.example")).for_request("card") is None


@pytest.mark.parametrize(
    ("parameters", "says", "path"),
    [
        (b'{"size": "big"}', "at size", "size"),
        (b'{"size": 1, "colour": 2}', "at colour: unknown field", "colour"),
        (b"null", "claim ns/c", ""),
        (b"[]", "claim ns/c", ""),
    ],
)
def test_wrong_parameters_name_claim_and_field(parameters, says, path):
    with pytest.raises(ClaimConfigError, match=says) as caught:
        configs(RawConfig("FromClaim", [], Opaque("card.acme.example", msgspec.Raw(parameters))))
    assert caught.value.fields["path"] == path


def test_parameters_for_a_driver_that_takes_none_are_refused():
    with pytest.raises(ClaimConfigError, match="takes none"):
        configs(entry(1), model=None)
