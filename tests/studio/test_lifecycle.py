"""Who may move stages and start services: the role first, then the rules of the registry."""

from __future__ import annotations

import pytest

from tabstudio.errors import GateError, RegistryError
from tabstudio.studio import lifecycle
from tabstudio.studio.access.roles import Actor, ForbiddenError
from tabstudio.studio.services import deployments
from tabstudio.studio.studio import Studio
from tabstudio.studio.studio_options import StudioOptions

from .content import copied

VIEWER, EDITOR, APPROVER = Actor("vic", "viewer"), Actor("ed", "editor"), Actor("ann", "approver")


@pytest.fixture
def studio(trained, tmp_path):
    copied(trained, tmp_path)
    made = Studio(StudioOptions())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("act", "needed"),
    [
        (lambda s, who: lifecycle.promote(s, who, "cancer", 1, "production", reason="x"), "editor"),
        (lambda s, who: lifecycle.archive(s, who, "cancer", 1, reason="x"), "editor"),
        (lambda s, who: lifecycle.rollback(s, who, "cancer", stage="production", reason="x"), "editor"),
        (lambda s, who: lifecycle.request(s, who, "cancer", 1, "champion", reason="x"), "editor"),
        (lambda s, who: lifecycle.approve(s, who, "cancer", 1), "approver"),
        (lambda s, who: lifecycle.reject(s, who, "cancer", 1, reason="x"), "approver"),
        (lambda s, who: deployments.start(s, who, "one", ["models:/cancer/1"]), "editor"),
        (lambda s, who: deployments.stop(s, who, "one"), "editor"),
        (lambda s, who: deployments.remove(s, who, "one"), "editor"),
    ],
)
def test_a_role_that_does_not_allow_it_is_refused_before_anything_happens(studio, act, needed):
    with pytest.raises(ForbiddenError, match=f"that takes the role {needed}"):
        act(studio, VIEWER)
    assert studio.registry(VIEWER).history("cancer") == []
    assert studio.deployments.list() == []


def test_what_was_done_is_told_in_one_sentence(studio):
    done = lifecycle.promote(studio, EDITOR, "cancer", 1, "production", reason="first")
    assert str(done) == "cancer 1 is in production now"
    done = lifecycle.promote(studio, EDITOR, "cancer", 2, "production", reason="better")
    assert str(done) == "cancer 2 is in production now; version 1 made room and went to archived"
    done = lifecycle.rollback(studio, APPROVER, "cancer", stage="production", reason="worse")
    assert str(done).startswith("cancer 1 is back in production; version 2 made room")
    assert [row.actor for row in studio.registry(VIEWER).history("cancer")] == ["ann"] * 2 + ["ed"] * 3


def test_gates_are_overruled_by_approvers_only(studio):
    assert [result.passed for result in lifecycle.judge(studio, VIEWER, "cancer", 2, "staging")] == [
        True,
        False,
    ]
    with pytest.raises(GateError):
        lifecycle.promote(studio, EDITOR, "cancer", 2, "staging", reason="soon")
    with pytest.raises(ForbiddenError, match="cannot overrule gates"):
        lifecycle.promote(studio, EDITOR, "cancer", 2, "staging", reason="now", force=True)
    done = lifecycle.promote(studio, APPROVER, "cancer", 2, "staging", reason="now", force=True)
    assert done.rows[0].forced


def test_an_editor_takes_back_a_request_of_their_own_alone(studio):
    lifecycle.request(studio, EDITOR, "cancer", 1, "champion", reason="please")
    with pytest.raises(ForbiddenError):
        lifecycle.reject(studio, Actor("eve", "editor"), "cancer", 1, reason="no")
    assert len(studio.registry(EDITOR).open_requests("cancer")) == 1
    done = lifecycle.reject(studio, EDITOR, "cancer", 1, reason="too early")
    assert str(done) == "the request for cancer 1 is turned down"
    assert studio.registry(EDITOR).open_requests("cancer") == []


def test_an_approval_lets_the_promotion_through_and_closes_the_request(studio):
    lifecycle.request(studio, EDITOR, "cancer", 2, "champion", reason="please")
    with pytest.raises(RegistryError, match="somebody else has to answer"):
        lifecycle.approve(studio, Actor("ed", "approver"), "cancer", 2)
    lifecycle.approve(studio, APPROVER, "cancer", 2)
    (request,) = studio.registry(EDITOR).open_requests("cancer")
    assert [row.actor for row in request.approvals] == ["ann"]
    lifecycle.promote(studio, EDITOR, "cancer", 2, "champion", reason="agreed")
    assert studio.registry(EDITOR).open_requests("cancer") == []


def test_models_are_searched_by_any_part_of_their_name(studio):
    registry = studio.registry(VIEWER)
    assert [model.name for model in registry.models(search="CANC")] == ["cancer"]
    assert [model.name for model in registry.models(search="b> 'x")] == ["odd <b> 'x' & 100%"]
    assert registry.models(search="' OR name LIKE '%") == []
    lifecycle.promote(studio, EDITOR, "cancer", 2, "production", reason="good")
    assert {name: row.version for name, row in registry.last_moves(["cancer", "none"]).items()} == {
        "cancer": 2
    }
