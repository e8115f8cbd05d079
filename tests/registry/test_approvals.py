"""Other people must agree where the rules say so, and nobody agrees with themselves."""

from __future__ import annotations

import pytest

from tabstudio.errors import RegistryError
from tabstudio.registry.stage_rules import make_rules

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TWO = make_rules({"stages": {"production": {"approvals": 2, "approvers": ["Bob", "carol", "dan"]}}})


def asked(place, version=1, actor="ann"):
    with place.open(actor, TWO) as registry:
        return registry.request("ill", version, "production", reason="it is better")


def agree(place, actor, version=1):
    with place.open(actor, TWO) as registry:
        return registry.approve("ill", version, reason="seen")


def promote(place, version=1, **more):
    with place.open("ann", TWO) as registry:
        return registry.promote("ill", version, "production", reason="agreed", **more)


def test_a_promotion_waits_until_enough_people_agreed(place):
    with pytest.raises(
        RegistryError, match="needs the approval of 2 other people; ask for it: `tabstudio request"
    ):
        promote(place)
    request = asked(place)
    agree(place, "bob")
    with pytest.raises(RegistryError, match="needs the approval of one other person more, so far bob agreed"):
        promote(place, force=True)
    agree(place, "carol")
    (row,) = promote(place)
    assert row.refers == request.number
    assert [who.split(",")[0] for who in row.evidence.approvals] == ["bob", "carol"]
    with place.open(rules=TWO) as registry:
        assert [r.kind for r in registry.history("ill")] == ["promote", "approve", "approve", "request"]
        assert registry.verify("ill").whole


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ("ann", "ann asked for this; somebody else has to answer"),
        (" ANN ", "ANN asked for this"),
        ("eve", "eve may not answer for production; Bob, carol, dan may"),
        ("BOB", "BOB has agreed already"),
    ],
)
def test_some_may_not_agree(place, actor, words):
    asked(place)
    agree(place, "bob")
    with pytest.raises(RegistryError, match=words):
        agree(place, actor)


def test_a_request_that_was_turned_down_is_over(place):
    asked(place)
    agree(place, "bob")
    with place.open("carol", TWO) as registry:
        with pytest.raises(RegistryError, match="a reason was expected"):
            registry.reject("ill", 1, reason="")
        registry.reject("ill", 1, reason="not on Fridays")
        assert registry.requests("ill", 1)[0].closed.reason == "not on Fridays"
    with pytest.raises(RegistryError, match="there is no open request to answer"):
        agree(place, "dan")
    with pytest.raises(RegistryError, match="needs the approval of 2 other people"):
        promote(place)
    asked(place)
    agree(place, "bob")
    agree(place, "dan")
    assert promote(place)[0].version == 1


def test_a_request_can_be_taken_back_and_an_approver_can_change_their_mind(place):
    asked(place)
    with place.open("ann", TWO) as registry:
        assert registry.reject("ill", 1, reason="my mistake").actor == "ann"
    asked(place)
    agree(place, "bob")
    with place.open("bob", TWO) as registry:
        registry.reject("ill", 1, reason="I looked again")
    with pytest.raises(RegistryError, match="needs the approval of 2"):
        promote(place)


def test_approvals_are_used_up_by_the_promotion(place):
    asked(place)
    agree(place, "bob")
    agree(place, "carol")
    promote(place)
    with place.open("ann", TWO) as registry:
        registry.archive("ill", 1, reason="away")
    with pytest.raises(RegistryError, match="needs the approval of 2"):
        promote(place)


def test_approvals_are_for_one_version(place):
    asked(place, 1)
    agree(place, "bob", 1)
    agree(place, "carol", 1)
    with pytest.raises(RegistryError, match="ill 2: production needs the approval"):
        promote(place, 2)


def test_a_version_made_anew_under_its_number_has_no_approvals(place):
    asked(place)
    agree(place, "bob")
    agree(place, "carol")
    place.client.delete_registered_model("ill")
    place.register("ill", 1)
    with pytest.raises(RegistryError, match="needs the approval of 2"):
        promote(place)


def test_a_rejection_at_the_last_moment_counts(place, monkeypatch):
    from tabstudio.registry import gates

    asked(place)
    agree(place, "bob")
    agree(place, "carol")

    def judged(*_):
        with place.open("dan", TWO) as registry:
            registry.reject("ill", 1, reason="wait")
        return []

    monkeypatch.setattr(gates, "judge", judged)
    with pytest.raises(RegistryError, match="needs the approval"):
        promote(place)


def test_asking_twice_or_for_nothing_is_told(place):
    asked(place)
    with pytest.raises(RegistryError, match="ann has asked for production already"):
        asked(place)
    with place.open("ann", TWO) as registry, pytest.raises(RegistryError, match="staging needs no approval"):
        registry.request("ill", 1, "staging", reason="x")


def test_a_finding_is_kept_with_its_version(place):
    with place.open("ann") as registry:
        version = registry.version("ill", 2)
        registry.note(version, "reproduced", {"identical": True})
        registry.note(version, "reproduced again", {"identical": False})
        assert [row.evidence.facts["identical"] for row in registry.notes(version)] == [False, True]
        assert registry.notes(registry.version("ill", 1)) == []
        assert registry.version("ill", 2).stage is None
        assert registry.verify("ill").whole
