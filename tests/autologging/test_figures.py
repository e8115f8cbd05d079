"""Every figure that is shown or saved is kept once, and the user's own stays as it is."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest

from tabstudio.autologging.observers.figures import FigureObserver

mpl.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _no_figures():
    plt.close("all")
    yield
    plt.close("all")


def kept(recorded):
    return sorted(name.removeprefix("figures/") for run in recorded.runs for name in run.artifacts)


def image(recorded, name):
    return plt.imread(io.BytesIO(recorded.runs[0].artifacts[f"figures/{name}"]))


def test_shown_figures_are_kept_by_title_label_or_number_without_a_warning(watched):
    with watched(FigureObserver()) as recorded:
        plt.plot([1, 2])
        plt.title("Loss, over epochs")
        plt.show()
        plt.figure("confusion")
        plt.plot([2, 1])
        plt.show()
        plt.figure()
        plt.plot([3, 1])
        plt.show(block=True)
    assert kept(recorded) == ["confusion.png", "figure-3.png", "loss-over-epochs.png"]


def test_one_look_is_kept_once(watched, tmp_path):
    with watched(FigureObserver()) as recorded:
        figure, axes = plt.subplots()
        (line,) = axes.plot([1, 2])
        plt.show()
        plt.show()
        plt.savefig(tmp_path / "curve.png")
        line.set_ydata([2, 5])
        plt.savefig(tmp_path / "curve.svg")
        plt.show()
        figure.show()
    assert kept(recorded) == ["curve.svg", "figure-1.png"]


def test_saved_file_is_kept_as_it_is(watched, tmp_path):
    with watched(FigureObserver()) as recorded:
        for number in range(2):
            plt.figure()
            plt.plot([number, 2])
            plt.savefig(tmp_path / "same name")
        buffer = io.BytesIO()
        plt.figure()
        plt.plot([5])
        plt.savefig(buffer, format="pdf")
    assert kept(recorded) == ["figure-1.png", "same name-2.png", "same name.png"]
    assert recorded.runs[0].artifacts["figures/same name-2.png"] == (tmp_path / "same name.png").read_bytes()


def test_what_is_drawn_over_a_shown_figure_is_kept_alone(watched):
    with watched(FigureObserver()) as recorded:
        plt.bar([0, 1], [5, 3], color="red")
        plt.show()
        plt.plot([0, 1], [5, 3], color="blue")
        before = len(plt.gca().patches), plt.gcf().number
        plt.show()
        assert all(bar.get_visible() for bar in plt.gca().patches)
        assert (len(plt.gca().patches), plt.gcf().number) == before
    red = [
        (np.abs(image(recorded, name)[..., :3] - [1, 0, 0]) < 0.1).all(axis=2).sum()
        for name in kept(recorded)
    ]
    assert red[0] > 1000
    assert red[1] == 0


def test_seaborn_and_pandas_are_kept(watched):
    import pandas as pd
    import seaborn as sns

    table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 1, 4, 3]})
    with watched(FigureObserver()) as recorded:
        sns.heatmap(table.corr(), annot=True)
        plt.show()
        table.plot(title="Table")
        plt.show()
    assert kept(recorded) == ["figure-1.png", "table.png"]


def test_nothing_shown_is_no_run_and_everything_is_put_back(watched):
    from matplotlib.figure import Figure

    before = plt.show, Figure.show, Figure.savefig
    with watched(FigureObserver()) as recorded:
        assert plt.show is not before[0]
        plt.figure()
        plt.show()
    assert recorded.runs == []
    assert (plt.show, Figure.show, Figure.savefig) == before


def test_a_fault_of_ours_leaves_the_users_figure_alone(watched, monkeypatch, tmp_path):
    observer = FigureObserver()
    monkeypatch.setattr(observer, "_keep", lambda *_: 1 / 0)
    with watched(observer) as recorded:
        plt.plot([1])
        plt.show()
        plt.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").exists()
    assert len(recorded.warnings) == 1
    assert "watching figures stops" in recorded.warnings[0]
