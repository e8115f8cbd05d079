"""Versions move through stages; MLflow shows the same; what happens behind our back is found."""

from __future__ import annotations

import shutil

import pytest

from tabstudio.errors import ConfigError, GateError, ModelError, RegistryError, TrackingError
from tabstudio.registry import Registry
from tabstudio.registry.records import GateResult
from tabstudio.registry.stage_rules import make_rules

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def stages(registry, name="ill"):
    return {version.number: version.stage for version in registry.versions(name) if version.stage}


def story(registry, name="ill"):
    return [(t.kind, t.version, t.from_stage, t.to_stage) for t in reversed(registry.history(name))]


def test_a_promotion_is_written_and_shown_by_mlflow(place):
    with place.open() as registry:
        rows = registry.promote("ill", 2, "production", reason="better on every  slice\n")
        (row,) = rows
        assert (row.kind, row.version, row.from_stage, row.to_stage) == ("promote", 2, None, "production")
        assert (row.actor, row.reason) == ("ann", "better on every slice")
        assert [gate.name for gate in row.evidence.gates if not gate.passed] == []
        assert registry.current("ill", "production").address == "models:/ill/2"
        assert registry.current("ill", "staging") is None
    assert place.shown("ill") == {"aliases": {"production": 2}, "stages": {"Production": [2]}}


def test_a_stage_holds_one_version_and_the_one_before_is_archived(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        registry.promote("ill", 2, "staging", reason="next")
        promoted, displaced = registry.promote("ill", 2, "production", reason="better")
        assert (displaced.kind, displaced.version, displaced.to_stage) == ("displaced", 1, "archived")
        assert displaced.refers == promoted.number
        assert displaced.time == promoted.time
        assert stages(registry) == {1: "archived", 2: "production"}
    assert place.shown("ill") == {
        "aliases": {"production": 2},
        "stages": {"Archived": [1], "Production": [2]},
    }


def test_many_versions_may_be_archived_and_one_can_come_back(place):
    with place.open() as registry:
        for version in (1, 2, 3):
            registry.archive("ill", version, reason="old")
        registry.promote("ill", "2", "staging", reason="look again")
        assert stages(registry) == {1: "archived", 2: "staging", 3: "archived"}
    assert place.shown("ill")["stages"] == {"Archived": [1, 3], "Staging": [2]}


def test_a_rollback_goes_back_one_by_one_and_a_named_one_at_once(place):
    with place.open() as registry:
        for version in (1, 2, 3):
            registry.promote("ill", version, "production", reason="newer")
        assert registry.rollback("ill", reason="wrong on Mondays")[0].version == 2
        assert registry.rollback("ill", reason="still wrong")[0].version == 1
        with pytest.raises(RegistryError, match="no version was in production before 1"):
            registry.rollback("ill", reason="even older")
        assert registry.rollback("ill", to_version=3, reason="it was right")[0].version == 3
        with pytest.raises(RegistryError, match="ill 3 is in production already"):
            registry.rollback("ill", to_version=3, reason="again")
        with pytest.raises(RegistryError, match="ill 4 was never in production"):
            registry.rollback("ill", to_version=4, reason="never seen")
    assert place.shown("ill")["aliases"] == {"production": 3}


def test_an_emptied_stage_can_be_rolled_back_to_what_it_held(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        registry.archive("ill", "production", reason="wrong")
        assert registry.current("ill", "production") is None
        assert place.shown("ill") == {"aliases": {}, "stages": {"Archived": [1]}}
        assert registry.rollback("ill", reason="it was right")[0].version == 1


def test_a_rollback_to_files_that_are_gone_moves_nothing(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        registry.promote("ill", 2, "production", reason="second")
        before = story(registry)
        shutil.rmtree(place.folder / "files")
        with pytest.raises(GateError, match="nothing was changed") as caught:
            registry.rollback("ill", reason="back")
        assert [result.passed for result in caught.value.results] == [False]
        assert story(registry) == before
    assert place.shown("ill")["aliases"] == {"production": 2}


def test_a_failed_gate_moves_nothing_unless_it_is_overruled(place, monkeypatch):
    from tabstudio.registry import gates

    failed = GateResult("accuracy", False, "0.6", "at least 0.9", "train longer")
    monkeypatch.setattr(gates, "judge", lambda *_: [failed])
    with place.open() as registry:
        with pytest.raises(GateError, match="1 of 1 gates did not pass") as caught:
            registry.promote("ill", 1, "production", reason="please")
        assert caught.value.results == (failed,)
        assert registry.history("ill") == []
        (row,) = registry.promote("ill", 1, "production", reason="the old one is broken", force=True)
        assert row.forced
        assert row.evidence.gates == (failed,)
        assert registry.history("ill")[0] == row


def test_force_where_every_gate_passes_overrules_nothing(place):
    with place.open() as registry:
        assert not registry.promote("ill", 1, "staging", reason="fine", force=True)[0].forced


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.promote("il", 1, "staging", reason="x"), ModelError, "did you mean ill"),
        (
            lambda r: r.promote("ill", 7, "staging", reason="x"),
            ModelError,
            "its newest versions are 4, 3, 2, 1",
        ),
        (lambda r: r.promote("ill", "three", "staging", reason="x"), ModelError, "no version three"),
        (lambda r: r.promote("ill", 1, "stagin", reason="x"), RegistryError, "did you mean staging"),
        (lambda r: r.promote("ill", 1, "staging", reason=" \n"), RegistryError, "a reason was expected"),
        (lambda r: r.promote("ill", 3, "production", reason="x"), RegistryError, "is in production already"),
        (lambda r: r.archive("ill", "staging", reason="x"), ModelError, "no version staging"),
        (lambda r: r.rollback("ill", reason="x", stage="archived"), RegistryError, "holds many versions"),
        (
            lambda r: r.rollback("ill", reason="x", stage="staging"),
            RegistryError,
            "no version was in staging",
        ),
        (lambda r: r.versions("il"), ModelError, "did you mean ill"),
        (lambda r: r.history("il"), ModelError, "did you mean ill"),
        (lambda r: r.verify("il"), ModelError, "did you mean ill"),
        (lambda r: r.at("ill", "next week"), ConfigError, "a date such as 2026-03-01"),
    ],
)
def test_what_is_not_possible_is_told_and_nothing_is_half_done(place, call, error, words):
    with place.open() as registry:
        registry.promote("ill", 3, "production", reason="first")
        before, shown = story(registry), place.shown("ill")
        with pytest.raises(error, match=words) as caught:
            call(registry)
        assert "\n" not in str(caught.value)
        assert story(registry) == before
    assert place.shown("ill") == shown


def test_a_version_is_named_by_number_stage_or_as_the_latest(place):
    with place.open() as registry:
        registry.promote("ill", "latest", "staging", reason="newest")
        assert registry.version("ill", "latest").number == 4
        assert registry.version("ill", "staging").number == 4
        assert registry.version("ill", "@staging").number == 4
        assert registry.version("ill", "3").number == 3


def test_the_state_of_a_date_is_found(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        between = registry.promote("ill", 2, "production", reason="second")[0].time
        registry.archive("ill", 3, reason="never good")
        now = registry.at("ill", "2999-12-31")
        assert {stage: [row.version for row in rows] for stage, rows in now.items()} == {
            "staging": [],
            "production": [2],
            "archived": [3, 1],
        }
        then = registry.at("ill", between.replace("Z", "+00:00"))
        assert [row.version for row in then["production"]] == [2]
        assert [row.version for row in then["archived"]] == [1]
        assert not any(registry.at("ill", "2020-01-01").values())


def test_pages_lead_through_all_versions_and_rows(place):
    with place.open() as registry:
        for version in (1, 2, 3):
            registry.promote("ill", version, "production", reason="newer")
        assert [v.number for v in registry.versions("ill", limit=3)] == [4, 3, 2]
        assert [v.number for v in registry.versions("ill", before=2, limit=3)] == [1]
        assert [row.number for row in registry.history("ill", limit=2)] == [5, 4]
        assert [row.number for row in registry.history("ill", before=4)] == [3, 2, 1]
        assert [row.number for row in registry.export("ill")] == [1, 2, 3, 4, 5]


def test_models_are_listed_with_what_is_in_their_stages(place):
    place.register("other", 1)
    with place.open() as registry:
        registry.promote("ill", 2, "production", reason="first")
        place.client.set_registered_model_alias("other", "staging", "1")
        models = registry.models()
        found = {model.name: (model.newest, model.stages) for model in models}
        assert found == {"ill": (4, {"production": 2}), "other": (1, {"staging": 1})}
        assert [model.name for model in registry.models(page=2, limit=1)] == ["other"]
        assert registry.models(page=3, limit=1) == []
    assert any("other 1" in notice for notice in models.notices)


# behind our back


def test_an_alias_that_was_moved_in_mlflow_becomes_part_of_the_history(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        place.client.set_registered_model_alias("ill", "production", "3")
        notices = registry.look("ill")
        assert stages(registry) == {1: "archived", 3: "production"}
        assert story(registry)[1:] == [
            ("external", 1, "production", "archived"),
            ("external", 3, None, "production"),
        ]
        assert registry.history("ill")[0].actor == "MLflow"
        assert "ill 3: the alias @production was moved in MLflow; it is in production now" in notices
    assert place.shown("ill") == {
        "aliases": {"production": 3},
        "stages": {"Archived": [1], "Production": [3]},
    }


def test_a_stage_that_was_changed_in_mlflow_moves_the_alias(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        place.client.transition_model_version_stage("ill", "2", "Production", archive_existing_versions=True)
        place.client.transition_model_version_stage("ill", "4", "Archived")
        assert stages(registry) == {1: "archived", 2: "production", 4: "archived"}
    assert place.shown("ill") == {
        "aliases": {"production": 2},
        "stages": {"Archived": [1, 4], "Production": [2]},
    }


def test_an_alias_that_was_removed_empties_the_stage(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        place.client.delete_registered_model_alias("ill", "production")
        assert stages(registry) == {}
        assert story(registry)[1:] == [("external", 1, "production", None)]
    assert place.shown("ill") == {"aliases": {}, "stages": {}}


def test_what_mlflow_held_before_us_is_taken_over(place):
    client = place.client
    for version in ("1", "2", "3"):
        client.transition_model_version_stage("ill", version, "Production")
    client.set_registered_model_alias("ill", "champion", "1")
    with place.open() as registry:
        assert stages(registry) == {1: "archived", 2: "archived", 3: "production"}
    shown = place.shown("ill")
    assert shown["aliases"] == {"champion": 1, "production": 3}
    assert shown["stages"] == {"Archived": [1, 2], "Production": [3]}


def test_a_second_look_finds_nothing_new(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        place.client.set_registered_model_alias("ill", "staging", "2")
        once = story(registry)
        assert story(registry) == once
    with place.open("bob") as registry:
        assert registry.look("ill") == ()
        assert story(registry) == once


def test_a_version_that_was_deleted_leaves_its_stage(place):
    with place.open() as registry:
        registry.promote("ill", 2, "production", reason="first")
        place.client.delete_model_version("ill", "2")
        assert story(registry)[-1] == ("external", 2, "production", None)
        assert registry.current("ill", "production") is None
        registry.promote("ill", 3, "production", reason="next")
        with pytest.raises(ModelError, match="ill has no version 2; its newest versions are 4, 3, 1"):
            registry.rollback("ill", reason="back")


def test_a_model_made_anew_under_its_name_does_not_inherit_stages(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        place.client.delete_registered_model("ill")
        place.register("ill", 1)
        assert stages(registry) == {}
        assert story(registry)[-1] == ("external", 1, "production", None)
        registry.promote("ill", 1, "production", reason="the new first")
        assert stages(registry) == {1: "production"}
        assert registry.verify("ill").whole


def test_the_history_of_a_model_stands_in_one_database(place, tmp_path):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
    elsewhere = Registry(
        tracking_uri=place.uri, database_url=f"sqlite:///{tmp_path}/elsewhere.db", actor="bob"
    )
    with elsewhere, pytest.raises(RegistryError, match=r"kept in another database than sqlite.*elsewhere"):
        elsewhere.promote("ill", 2, "production", reason="mine")
    assert place.shown("ill")["aliases"] == {"production": 1}


def test_the_model_of_that_name_in_another_registry_is_another_model(place, empty_mlflow, tmp_path):
    from .mlflows import copied

    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
    other = copied(
        empty_mlflow, tmp_path / "other", place.database_url or f"sqlite:///{tmp_path}/tabstudio.db"
    )
    other.register("ill", 1)
    with (
        other.open() as registry,
        pytest.raises(RegistryError, match="holds the history of the model of that"),
    ):
        registry.versions("ill")


# stages of one's own


def test_stages_of_other_names_are_aliases_only(place):
    rules = make_rules({"order": ["qa", "canary", "live"], "stages": {"qa": {"exclusive": False}}})
    with place.open(rules=rules) as registry:
        registry.promote("ill", 1, "qa", reason="a")
        registry.promote("ill", 2, "qa", reason="b")
        registry.promote("ill", 2, "live", reason="c")
        registry.promote("ill", 3, "live", reason="d")
        assert stages(registry) == {1: "qa", 3: "live"}
        registry.archive("ill", 1, reason="no archive here")
        assert stages(registry) == {3: "live"}
        place.client.set_registered_model_alias("ill", "live", "4")
        assert stages(registry) == {4: "live"}
    assert place.shown("ill") == {"aliases": {"live": 4}, "stages": {}}


def test_a_version_goes_through_the_stages_in_their_order_where_that_is_asked(place):
    with place.open(rules=make_rules({"in_order": True})) as registry:
        with pytest.raises(RegistryError, match="must have been in staging before it goes to production"):
            registry.promote("ill", 1, "production", reason="at once")
        registry.promote("ill", 1, "staging", reason="look at it")
        registry.promote("ill", 1, "production", reason="it is good")
        assert stages(registry) == {1: "production"}


def test_only_those_who_may_change_a_stage_do(place):
    rules = make_rules({"stages": {"production": {"promoters": ["Ann", "bob"]}}})
    with place.open("ann", rules) as registry:
        registry.promote("ill", 1, "production", reason="first")
    with place.open("mallory", rules) as registry:
        registry.promote("ill", 2, "staging", reason="everybody may")
        for call in (
            lambda: registry.promote("ill", 2, "production", reason="mine", force=True),
            lambda: registry.archive("ill", 1, reason="away with it"),
            lambda: registry.rollback("ill", reason="back"),
            lambda: registry.promote("ill", 1, "staging", reason="down with it"),
        ):
            with pytest.raises(RegistryError, match="mallory may not change production; Ann, bob may"):
                call()


# when MLflow is away


def test_a_registry_that_cannot_be_reached_changes_nothing(place, monkeypatch):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        before = story(registry)

        def away(*_, **__):
            raise ConnectionRefusedError(111, "Connection refused")

        monkeypatch.setattr(registry.client.mlflow, "get_registered_model", away)
        with pytest.raises(TrackingError, match="is the server running"):
            registry.promote("ill", 2, "production", reason="second")
        monkeypatch.undo()
        assert story(registry) == before


def test_a_registry_that_goes_away_in_between_is_told_later(place, monkeypatch):
    with place.open() as registry:

        def away(*_, **__):
            raise ConnectionRefusedError(111, "Connection refused")

        monkeypatch.setattr(registry.client.mlflow, "set_registered_model_alias", away)
        with pytest.raises(TrackingError, match="is the server running") as caught:
            registry.promote("ill", 2, "production", reason="second")
        assert "written in the history" in caught.value.__notes__[0]
    assert place.shown("ill")["aliases"] == {}
    with place.open("bob") as registry:
        assert registry.look("ill") == (
            "ill: MLflow was told what an interrupted command had left: version 2 in production",
        )
        assert stages(registry) == {2: "production"}
    assert place.shown("ill") == {"aliases": {"production": 2}, "stages": {"Production": [2]}}


def test_a_version_that_is_deleted_during_its_promotion_is_told(place, monkeypatch):
    from tabstudio.registry import gates

    def deleting(*_):
        place.client.delete_model_version("ill", "2")
        return []

    monkeypatch.setattr(gates, "judge", deleting)
    with place.open() as registry:
        with pytest.raises(RegistryError, match="ill 2 was deleted in MLflow meanwhile"):
            registry.promote("ill", 2, "production", reason="second")
        assert story(registry)[-1] == ("external", 2, "production", None)
        assert registry.current("ill", "production") is None
        assert registry.verify("ill").whole


def test_there_is_no_registry_yet(tmp_path):
    with pytest.raises(ModelError, match="there is no registry yet"):
        Registry()
    assert list(tmp_path.iterdir()) == []


def test_people_act_through_one_registry_and_each_call_tells_what_it_noticed(place):
    place.register("other", 1)
    with place.open("ann") as registry:
        ann, bob = registry, registry.as_actor("bob")
        assert (bob.database, bob.client) == (ann.database, ann.client)
        ann.promote("ill", 1, "staging", reason="first")
        place.client.set_registered_model_alias("ill", "production", "3")
        place.client.set_registered_model_alias("other", "staging", "1")
        assert [notice.partition(":")[0] for notice in bob.history("other").notices] == ["other 1"]
        moved = bob.promote("ill", 2, "production", reason="better")
        assert [row.actor for row in moved] == ["bob", "bob"]
        assert [notice.partition(":")[0] for notice in moved.notices] == ["ill 3"]
        assert ann.history("ill").notices == ()
        bob.close()
        assert [row.actor for row in ann.archive("ill", 2, reason="old")] == ["ann"]


def test_what_was_noticed_is_told_where_the_move_fails_too(place):
    with place.open() as registry:
        place.client.set_registered_model_alias("ill", "production", "3")
        with pytest.raises(RegistryError, match="is in production already") as caught:
            registry.promote("ill", 3, "production", reason="again")
    assert caught.value.__notes__ == [
        "note: ill 3: the alias @production was moved in MLflow; it is in production now"
    ]


def test_no_connection_to_our_tables_waits_for_mlflow(place, monkeypatch):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
        client, open_connections = registry.client.mlflow, []
        for name in ("get_registered_model", "search_model_versions", "get_model_version"):
            call = getattr(client, name)

            def asked(*args, call=call, **kwargs):
                open_connections.append(registry.database.engine.pool.checkedout())
                return call(*args, **kwargs)

            monkeypatch.setattr(client, name, asked)
        registry.look("ill")
        registry.versions("ill")
        registry.version("ill", "production")
        registry.history("ill")
        registry.models()
    assert open_connections
    assert set(open_connections) == {0}


def test_a_page_of_versions_asks_for_their_runs_at_once(place, monkeypatch):
    client, source = place.client, str(place.folder / "files")
    experiments = [client.create_experiment(name) for name in ("one", "two")]
    runs = [client.create_run(experiments[number % 2]).info.run_id for number in range(12)]
    for number, run in enumerate(runs):
        client.log_metric(run, "test_f1", number / 12)
        client.create_model_version("ill", source, run_id=run)
    client.delete_run(runs[3])
    client.create_model_version("ill", source, run_id="0" * 32)  # of a run that is gone for good
    with place.open() as registry:
        asked = []
        for name in ("get_run", "search_runs"):
            monkeypatch.setattr(registry.client.mlflow, name, counted(registry.client.mlflow, name, asked))
        versions = registry.versions("ill")
    values = {version.run_id: version.metrics["test_f1"].value for version in versions if version.metrics}
    assert values == {run: number / 12 for number, run in enumerate(runs)}
    assert len(asked) <= 5


def counted(client, name, asked):
    call = getattr(client, name)

    def counting(*args, **kwargs):
        asked.append(name)
        return call(*args, **kwargs)

    return counting
