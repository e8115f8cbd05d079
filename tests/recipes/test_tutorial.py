"""`--recipe tutorial` takes every step as a person would write it by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from torch import nn

from tabstudio import configure, read
from tabstudio.recipes import tutorial
from tabstudio.recipes.fit import fit
from tabstudio.recipes.labeled_rows import LabeledRows


class ByHand(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.fc1, self.dropout1 = nn.Linear(inputs, 30), nn.Dropout(0.3)
        self.fc2, self.dropout2 = nn.Linear(30, 15), nn.Dropout(0.3)
        self.fc3 = nn.Linear(15, 1)

    def forward(self, x):
        x = self.dropout1(torch.relu(self.fc1(x)))
        return self.fc3(self.dropout2(torch.relu(self.fc2(x))))


def train_by_hand(path, seed):
    frame = pd.read_csv(path)
    X, y = frame.drop(columns="diagnosis").to_numpy(), (frame["diagnosis"] != "benign").to_numpy().astype(int)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=101)
    scaler = MinMaxScaler()
    inputs = torch.tensor(scaler.fit_transform(X_train), dtype=torch.float32)
    val_inputs = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
    targets = torch.tensor(y_train, dtype=torch.float32).view(-1, 1)
    val_targets = torch.tensor(y_test, dtype=torch.float32).view(-1, 1)
    torch.manual_seed(seed)
    model, criterion = ByHand(30), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0001)
    losses = []
    for _ in range(50):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            losses.append((loss.item(), criterion(model(val_inputs), val_targets).item()))
    with torch.no_grad():
        probabilities = torch.sigmoid(model(val_inputs)).numpy()[:, 0]
    return np.array(losses), probabilities, y_test


def train_by_recipe(path, seed):
    table = read(path, target="diagnosis")
    config = tutorial.apply(configure(recipe="tutorial", seed=seed))
    parts = tutorial.split(table, config)
    rows, fold = tutorial.learning(parts)
    fitted = fit(LabeledRows.of(table.take(rows), fold), config, choose=False)
    losses = np.array([(e.train_loss[0], e.val_loss[0]) for e in fitted.outcome.history])
    return losses, fitted, table.take(parts.test)


@pytest.mark.parametrize("seed", [0, 7])
def test_losses_and_answers_equal_those_of_the_hand_written_loop(cancer_csv, seed):
    by_hand, probabilities, y_test = train_by_hand(cancer_csv, seed)
    losses, fitted, test = train_by_recipe(cancer_csv, seed)
    assert losses.shape == (50, 2)
    np.testing.assert_allclose(losses, by_hand, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(test.labels(), y_test)
    np.testing.assert_allclose(fitted.model.predict_proba(test.frame)[:, 1], probabilities, atol=1e-6)


def test_report_and_matrix_are_scikit_learns(cancer_csv):
    from tabstudio.evaluation import evaluate

    _, fitted, test = train_by_recipe(cancer_csv, 3)
    probabilities = fitted.model.predict_proba(test.frame)
    evaluation = evaluate(test.schema.target, test.labels(), probabilities, threshold=0.5, resamples=0)
    decided = (probabilities[:, 1] >= 0.5).astype(int)
    report = classification_report(test.labels(), decided, output_dict=True, zero_division=0)
    assert [list(row) for row in evaluation.confusion] == confusion_matrix(test.labels(), decided).tolist()
    for row, label in zip(evaluation.report, ("0", "1"), strict=False):
        assert row.support == report[label]["support"]
        assert row.f1 == pytest.approx(report[label]["f1-score"])


def test_rows_are_split_as_scikit_learn_splits_them(cancer_csv):
    table = read(cancer_csv, target="diagnosis")
    parts = tutorial.split(table, tutorial.apply(configure(recipe="tutorial")))
    train, test = train_test_split(np.arange(len(table)), test_size=0.25, random_state=101)
    np.testing.assert_array_equal(parts.train, train)
    np.testing.assert_array_equal(parts.test, test)
