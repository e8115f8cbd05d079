"""Two people at once, and a kill between our tables and MLflow: one history, and MLflow in step with it."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tabstudio.errors import ConflictError, RegistryError
from tabstudio.registry.mlflow_stages import mlflow_stage
from tests.forked import Forked

from .mlflows import Place, copied

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
STAGES = ("staging", "production")
VERSIONS = 4


def in_step(place: Place, name: str = "ill") -> None:
    """What must hold at every moment of rest: one whole chain, and MLflow shows what it says."""
    with place.open("checker") as registry:
        found = registry.verify(name)
        assert found.whole, found.faults
        versions = registry.versions(name)
        stages = {v.number: v.stage for v in versions}
        assert versions.notices == ()
        assert [row.number for row in registry.export(name)] == list(range(1, found.rows + 1))
    holders = {stage: [n for n, s in stages.items() if s == stage] for stage in STAGES}
    assert all(len(numbers) <= 1 for numbers in holders.values())
    shown = place.shown(name)
    assert shown["aliases"] == {stage: numbers[0] for stage, numbers in holders.items() if numbers}
    expected: dict[str, list[int]] = {}
    for number, stage in sorted(stages.items()):
        expected.setdefault(mlflow_stage(stage), []).append(number)
    expected.pop("None", None)
    assert shown["stages"] == expected


def at_once(*calls):
    """Run calls in threads that start together; return what each returned or raised."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            return call()
        except RegistryError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


class Lifecycles(RuleBasedStateMachine):
    """People promote, archive and roll back, one by one and two at once, some of them in MLflow itself."""

    place: Place

    @initialize()
    def begin(self):
        self.model = f"ill-{os.urandom(4).hex()}"
        self.place.register(self.model, VERSIONS)

    @rule(version=st.integers(1, VERSIONS), stage=st.sampled_from(STAGES))
    def promote(self, version, stage):
        self.one("ann", lambda r: r.promote(self.model, version, stage, reason="r"))

    @rule(version=st.integers(1, VERSIONS))
    def archive(self, version):
        self.one("bob", lambda r: r.archive(self.model, version, reason="r"))

    @rule(stage=st.sampled_from(STAGES))
    def roll_back(self, stage):
        self.one("ann", lambda r: r.rollback(self.model, stage=stage, reason="r"))

    @rule(first=st.integers(1, VERSIONS), second=st.integers(1, VERSIONS), stage=st.sampled_from(STAGES))
    def promote_two_at_once(self, first, second, stage):
        with self.place.open("ann") as one, self.place.open("bob") as two:
            before = {r.number for r in one.history(self.model, limit=1)}
            ends = at_once(
                lambda: one.promote(self.model, first, stage, reason="ann's"),
                lambda: two.promote(self.model, second, stage, reason="bob's"),
            )
            written = [row for row in one.history(self.model) if row.number > max(before, default=0)]
        won = [end for end in ends if not isinstance(end, RegistryError)]
        assert sum(row.kind == "promote" for row in written) == len(won)
        for end in ends:
            if isinstance(end, ConflictError):
                assert "somebody was faster" in str(end)

    @rule(version=st.integers(1, VERSIONS), stage=st.sampled_from(STAGES))
    def move_an_alias_in_mlflow(self, version, stage):
        self.place.client.set_registered_model_alias(self.model, stage, str(version))
        self.one("ann", lambda r: r.look(self.model))

    @invariant()
    def everything_is_in_step(self):
        if hasattr(self, "model"):
            in_step(self.place, self.model)

    def one(self, actor, call):
        # Many a move is not possible, and must change nothing.
        with self.place.open(actor) as registry, suppress(RegistryError):
            call(registry)


def test_any_sequence_of_moves_keeps_one_whole_history(place):
    class Here(Lifecycles):
        pass

    Here.place = place
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=6,
            stateful_step_count=8,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_of_two_promotions_on_the_same_ground_one_wins(place):
    """Both have looked, and both were judged good, before either of them writes."""
    from tabstudio.registry import gates

    both_judged = threading.Barrier(2)
    judge = gates.judge

    def judged(*arguments):
        results = judge(*arguments)
        both_judged.wait(30)
        return results

    with pytest.MonkeyPatch.context() as patch, place.open("ann") as one, place.open("bob") as two:
        patch.setattr(gates, "judge", judged)
        ends = at_once(
            lambda: one.promote("ill", 1, "production", reason="ann's"),
            lambda: two.promote("ill", 2, "production", reason="bob's"),
        )
    (lost,) = [end for end in ends if isinstance(end, ConflictError)]
    (won,) = [end for end in ends if isinstance(end, list)]
    assert (
        f"somebody was faster, nothing was changed. Last: ill {won[0].version}: no stage -> production"
        in str(lost)
    )
    with place.open() as registry:
        assert len(registry.history("ill")) == 1
    in_step(place)


def test_promotions_to_different_stages_do_not_disturb_each_other(place):
    with place.open("ann") as one, place.open("bob") as two:
        ends = at_once(
            lambda: one.promote("ill", 1, "production", reason="ann's"),
            lambda: two.promote("ill", 2, "staging", reason="bob's"),
        )
    assert [len(end) for end in ends] == [1, 1]
    in_step(place)


SCRIPT = """
import os, signal, sys
from tabstudio.registry import Registry

registry = Registry(tracking_uri=sys.argv[1], database_url=sys.argv[2] or None, actor="ann")
client = registry.client.mlflow
for name in sys.argv[3].split(","):
    def killed(*arguments, name=name, call=getattr(client, name), **named):
        if "after" in sys.argv[4]:
            call(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(client, name, killed)
registry.promote("ill", 2, "production", reason="killed in between")
"""


@pytest.mark.parametrize(
    ("call", "moment"),
    [
        ("set_registered_model_alias", "before"),
        ("transition_model_version_stage", "after"),
        ("set_registered_model_tag", "after"),
    ],
)
def test_a_kill_between_our_tables_and_mlflow_is_repaired_and_told(place, call, moment, tmp_path):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
    killed = Forked(SCRIPT, place.uri, place.database_url or "", call, moment, output=tmp_path / "told")
    assert killed.wait() == -signal.SIGKILL, killed.output.read_text()
    with place.open("bob") as registry:
        assert registry.current("ill", "production").number == 2
        rows = registry.history("ill")
        assert [row.kind for row in rows] == ["displaced", "promote", "promote"]
        left = "version 1 in archived, 2 in production"
        assert rows.notices == (f"ill: MLflow was told what an interrupted command had left: {left}",)
    in_step(place)


def test_a_kill_before_our_tables_are_written_leaves_everything_as_it_was(place, tmp_path):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason="first")
    killing = "from tabstudio.registry import mlflow_sync; mlflow_sync.enqueue = killed"
    code = SCRIPT.replace("setattr(client, name, killed)", killing)
    words = [place.uri, place.database_url or "", "get_run", "before"]
    killed = Forked(code, *words, output=tmp_path / "told")
    assert killed.wait() == -signal.SIGKILL, killed.output.read_text()
    with place.open("bob") as registry:
        rows = registry.history("ill")
        assert [row.version for row in rows] == [1]
        assert rows.notices == ()
    in_step(place)


def test_many_processes_promote_and_one_history_is_whole(empty_mlflow: Path, tmp_path: Path):
    place = copied(empty_mlflow, tmp_path)
    place.register("ill", VERSIONS)
    code = """
import sys
from tabstudio.errors import RegistryError
from tabstudio.registry import Registry
done = 0
with Registry(tracking_uri=sys.argv[1], actor=sys.argv[2]) as registry:
    for n in range(6):
        try:
            registry.promote("ill", (n + int(sys.argv[2])) % 4 + 1, "production", reason=f"round {n}")
            done += 1
        except RegistryError:
            pass
print(done)
"""
    running = [Forked(code, place.uri, str(n), output=tmp_path / f"told {n}") for n in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    counts = [int(process.output.read_text().split()[-1]) for process in running]
    with place.open() as registry:
        promoted = [row for row in registry.export("ill") if row.kind == "promote"]
    assert len(promoted) == sum(counts) > 0
    in_step(place)
