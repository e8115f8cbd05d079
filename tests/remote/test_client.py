"""The registry of a studio answers as the one that it stands on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tabstudio.errors import ConfigError, ModelError, RegistryError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_both_registries_answer_the_same(place, near, far):
    place.register("other", 1)
    far.promote("ill", 1, "production", reason="first")
    near.promote("ill", 2, "production", reason="better")
    for ask in (
        lambda registry: registry.models(),
        lambda registry: registry.models(page=2, limit=1),
        lambda registry: registry.versions("ill"),
        lambda registry: registry.versions("ill", before=3, limit=1),
        lambda registry: registry.version("ill", "production"),
        lambda registry: registry.history("ill"),
        lambda registry: registry.at("ill", datetime.now(UTC)),
        lambda registry: list(registry.export("ill")),
        lambda registry: registry.verify("ill"),
        lambda registry: registry.judge("ill", 3, "production"),
        lambda registry: registry.requests("ill", 3),
        lambda registry: registry.rules.stages,
        lambda registry: registry.look("ill"),
    ):
        assert ask(far) == ask(near)


def test_models_are_searched_from_afar(place, far):
    place.register("other", 1)
    assert [model.name for model in far.models(search="OTH")] == ["other"]


def test_what_was_noticed_is_told_with_the_answer_once(place, far):
    place.client.set_registered_model_alias("ill", "production", "3")
    notice = "ill 3: the alias @production was moved in MLflow; it is in production now"
    assert far.promote("ill", 2, "staging", reason="next").notices == (notice,)
    assert far.history("ill").notices == ()
    place.client.set_registered_model_alias("ill", "production", "1")
    assert len(far.look("ill")) == 2
    assert far.look("ill") == ()


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda r: r.version("il", 1), ModelError, "did you mean ill"),
        (lambda r: r.archive("ill", 1, reason="  "), RegistryError, "a reason was expected"),
        (lambda r: r.at("ill", "yesterday"), ConfigError, "a date such as"),
        (lambda r: r.approve("ill", 1), RegistryError, "there is no open request"),
    ],
)
def test_both_refuse_in_the_same_words(near, far, ask, error, message):
    texts = []
    for registry in (near, far):
        with pytest.raises(error, match=message) as caught:
            ask(registry)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
