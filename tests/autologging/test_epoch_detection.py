"""Epochs are told from loops. Here a stub stands for PyTorch: what counts is where it is called."""

from __future__ import annotations

import sys

import pytest

from tabstudio.autologging.epochs.epoch_detection import EpochDetector
from tabstudio.autologging.events import BackwardEvent, EvaluationEvent
from tabstudio.autologging.trace.call_sites import call_site, loops_of
from tabstudio.autologging.trace.loss_values import LossValue


class Watched:
    """Numbers what it is told: the n-th backward pass has the loss n, evaluations have 100 + n."""

    def __init__(self):
        self.epochs = EpochDetector(self.over, lambda loop: loop in self.drivers)
        self.drivers = set()
        self.told = []
        self.steps = self.passes = self.looked = self.visit = 0

    def over(self, stretch):
        train = {name: mean.value for name, mean in stretch.train.items()}
        evaluated = {g: {n: m.value for n, m in means.items()} for g, means in stretch.evaluated.items()}
        self.told.append((stretch.number, train.get("loss"), evaluated.get("val", {}).get("loss")))

    def made(self):
        self.epochs.optimizer_created(call_site(sys._getframe(1)))

    def backward(self, inputs=0):
        self.passes += 1
        self.epochs.take(
            BackwardEvent(
                call_site(sys._getframe(1)),
                {"loss": LossValue(float(self.passes))},
                self.visit,
                self.steps,
                1.0,
                inputs,
            )
        )

    def step(self):
        if self.epochs.shape is None:
            self.epochs.stepped(call_site(sys._getframe(1)))
        self.steps += 1

    def train(self, inputs=0):
        self.backward.__func__(self, inputs)

    def look(self, group="val"):
        self.looked += 1
        at = call_site(sys._getframe(1))
        self.epochs.take(
            EvaluationEvent(at, group, "loss", LossValue(100.0 + self.looked), self.visit, self.steps, True)
        )

    def batches(self, n):
        """A data loader: a new visit each time, and it drives the loop that calls it."""
        self.visit += 1
        frame = sys._getframe(1)
        code, at = frame.f_code, frame.f_lasti
        self.drivers.add(next(loop for loop in loops_of(code) if loop.start > at))
        return iter(range(n))

    def end(self):
        return self.epochs.end(self.steps)


@pytest.fixture
def w():
    return Watched()


def test_full_batch_with_validation_in_each_iteration(w):
    for _ in range(3):
        w.backward()
        w.step()
        w.look()
    w.end()
    assert w.told == [(1, 1, 101), (2, 2, 102), (3, 3, 103)]


def test_batches_of_an_index_loop(w):
    for _epoch in range(2):
        for _i in range(0, 30, 10):
            w.backward()
            w.step()
        w.look()
        w.look()
    w.end()
    assert w.told == [(1, 2, 101.5), (2, 5, 103.5)]


def train_one_epoch(w):
    for _ in range(2):
        w.backward()
        w.step()


def evaluate(w, n=2):
    for _ in range(n):
        w.look()


def test_functions_for_training_and_validation_and_a_test_at_the_end(w):
    def main():
        for _ in range(2):
            train_one_epoch(w)
            evaluate(w)
        evaluate(w)

    main()
    left = w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5)]
    assert [event.loss.value for event in left] == [105, 106]


def test_validation_before_training_in_an_epoch(w):
    for _ in range(3):
        evaluate(w)
        train_one_epoch(w)
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5), (3, 5.5, 105.5)]


def test_phases(w):
    for _ in range(2):
        for phase in ("train", "val"):
            for _ in range(2):
                if phase == "train":
                    w.backward()
                    w.step()
                else:
                    w.look()
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5)]


def test_phases_that_begin_with_validation(w):
    for _ in range(2):
        for phase in ("val", "train"):
            for _ in w.batches(2):
                if phase == "train":
                    w.backward()
                    w.step()
                else:
                    w.look()
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5)]


def test_loaders_in_a_loop_over_both(w):
    for _ in range(2):
        for training in (True, False):
            for _ in w.batches(2):
                if training:
                    w.backward()
                    w.step()
                else:
                    w.look()
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5)]


def test_steps_with_periodic_validation_before_the_step(w):
    iteration = 0
    while True:
        if iteration % 3 == 0:
            evaluate(w)
        for _micro in range(2):
            w.backward()
        w.step()
        iteration += 1
        if iteration > 6:
            break
    w.end()
    assert w.told == [(0, None, 101.5), (3, 3.5, 103.5), (6, 9.5, 105.5), (7, 13.5, None)]


def test_steps_with_periodic_validation_after_the_step(w):
    for i in range(7):
        w.backward()
        w.step()
        if i % 3 == 2:
            w.look()
    w.end()
    assert w.told == [(3, 2, 101), (6, 5, 102), (7, 7, None)]


def test_validation_in_the_middle_of_an_epoch_goes_by_steps(w):
    for _ in range(2):
        for i in w.batches(4):
            w.backward()
            w.step()
            if i % 2 == 1:
                w.look()
    w.end()
    assert w.told == [(2, 1.5, 101), (4, 3.5, 102), (6, 5.5, 103), (8, 7.5, 104)]


def test_an_epoch_variable_tells_epochs_that_validate_now_and_then(w):
    for epoch in range(4):
        w.backward()
        w.step()
        if epoch % 2 == 0:
            w.look()
    w.end()
    assert w.told == [(1, 1, 101), (2, 2, None), (3, 3, 102), (4, 4, None)]


def test_the_same_inputs_tell_a_full_batch(w):
    for _t in range(4):
        w.backward(inputs=7)
        w.step()
    w.end()
    assert w.told == [(1, 1, None), (2, 2, None), (3, 3, None), (4, 4, None)]


def test_one_loop_without_validation_and_new_inputs_goes_by_steps(w):
    for i in range(4):
        w.backward(inputs=i + 1)
        w.step()
    w.end()
    assert w.told == [(4, 2.5, None)]


def test_gradient_accumulation(w):
    for _ in range(2):
        for i in range(4):
            w.backward()
            if i % 2:
                w.step()
        w.look()
    w.end()
    assert w.told == [(1, 2.5, 101), (2, 6.5, 102)]


def test_no_optimizer(w):
    for _ in range(2):
        for _ in range(3):
            w.backward()
        w.look()
    w.end()
    assert w.told == [(1, 2, 101), (2, 5, 102)]


def test_no_optimizer_and_a_full_batch(w):
    for _t in range(1500):
        w.backward(inputs=1)
    w.end()
    assert len(w.told) == 1500
    assert w.told[-1] == (1500, 1500, None)


def test_while_loops(w):
    epoch = 0
    while epoch < 3:
        for _ in w.batches(2):
            w.backward()
            w.step()
        evaluate(w)
        epoch += 1
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5), (3, 5.5, 105.5)]


def test_while_loops_that_validate_first(w):
    epoch = 0
    while epoch < 3:
        evaluate(w)
        train_one_epoch(w)
        epoch += 1
    w.end()
    assert w.told == [(1, 1.5, 101.5), (2, 3.5, 103.5), (3, 5.5, 105.5)]


def test_an_optimizer_made_inside_a_loop_leaves_that_loop_out(w):
    told = []
    for _fold in range(2):
        w = Watched()
        w.made()
        for i in range(4):
            w.backward()
            w.step()
            if i % 2:
                w.look()
        w.end()
        told += w.told
    assert told == [(2, 1.5, 101), (4, 3.5, 102)] * 2


def test_a_single_pass_over_a_loader_is_one_epoch(w):
    for _ in w.batches(4):
        w.backward()
        w.step()
    w.look()
    w.end()
    assert w.told == [(1, 2.5, 101)]


def test_an_optimizer_that_steps_less_often(w):
    for _epoch in range(2):
        for _i in range(2):
            for _critic in range(3):
                w.backward()
                w.step()
            w.backward()
            w.epochs.join(call_site(sys._getframe(0)))
            w.step()
    w.end()
    assert w.told == [(1, 4.5, None), (2, 12.5, None)]


def test_another_cell_goes_on_with_the_same_training(w):
    cell = "for _ in range(2):\n    for _ in range(2):\n        w.backward()\n        w.step()\n    w.look()"
    for _ in range(2):
        exec(compile(cell, "<cell>", "exec"), {"w": w})
    w.end()
    assert w.told == [(1, 1.5, 101), (2, 3.5, 102), (3, 5.5, 103), (4, 7.5, 104)]


def test_a_loader_that_is_left_early(w):
    for _ in range(2):
        for i in w.batches(5):
            w.backward()
            w.step()
            if i == 1:
                break
        w.look()
    w.end()
    assert w.told == [(1, 1.5, 101), (2, 3.5, 102)]


def test_several_steps_on_one_batch(w):
    for _ in range(2):
        for _ in w.batches(2):
            for _ in range(3):
                w.backward()
                w.step()
    w.end()
    assert w.told == [(1, 3.5, None), (2, 9.5, None)]


def test_a_loop_with_a_long_body_is_one_loop(w):
    lines = ["def long(w):", "    for epoch in range(2):", "        w.backward()", "        w.step()"]
    lines += [f"        x{i} = [epoch, {i}]" for i in range(400)] + ["        w.look()"]
    names: dict = {}
    exec("\n".join(lines), names)
    assert [loop.name for loop in loops_of(names["long"].__code__)] == ["epoch"]
    names["long"](w)
    w.end()
    assert w.told == [(1, 1, 101), (2, 2, 102)]


def test_loops_of_every_kind_are_found():
    source = """
for a in x:
    for b, (c, d) in enumerate(y):
        while c:
            if d: continue
            for _ in z: pass
            while d: d -= 1
        else: pass
    while True:
        if a: break
"""
    loops = loops_of(compile(source, "<s>", "exec"))
    assert sorted(loop.name for loop in loops) == ["", "", "", "_", "a", "b"]
