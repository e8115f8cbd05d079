"""Loops as in public repositories, written anew, each for one thing that is easily told wrongly.

As in `loops`, each returns what it would print: metric names and their values.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .loops import Told, data, network


def mean_loss_of(model, criterion, inputs, targets):
    model.eval()
    with torch.no_grad():
        return criterion(model(inputs), targets).item()


def both_parts_by_one_function() -> Told:
    """As with graphs: the part that comes first is the training data, and only names tell."""
    x, y, xv, yv = data()
    model, criterion = network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "train_eval_loss": [], "val_loss": []}
    for _epoch in range(4):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        told["train_loss"].append(loss.item())
        loss_train = mean_loss_of(model, criterion, x, y)
        loss_val = mean_loss_of(model, criterion, xv, yv)
        told["train_eval_loss"].append(loss_train)
        told["val_loss"].append(loss_val)
    return told


def loaders_and_no_grad_forgotten() -> Told:
    """The losses of a validation with gradients show what they were only when the next epoch has begun."""
    x, y, xv, yv = data()
    training = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True)
    validation = DataLoader(TensorDataset(xv, yv), batch_size=15)
    model, criterion = network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(3):
        model.train()
        total = 0.0
        for inputs, targets in training:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        told["train_loss"].append(total / len(training))
        model.eval()
        total = 0.0
        for inputs, targets in validation:
            total += criterion(model(inputs), targets).item()
        told["val_loss"].append(total / len(validation))
    return told


def summed_for_the_backward_pass() -> Told:
    """A loss by row from nobody's function, whose sum only `backward` sees: the mean is what people print."""
    x, y, *_ = data()
    w, b = torch.zeros(5, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    told: Told = {"train_loss": []}
    for _epoch in range(3):
        total = 0.0
        for at in range(0, 100, 40):
            losses = (x[at : at + 40] @ w + b - y[at : at + 40]) ** 2 / 2
            losses.sum().backward()
            with torch.no_grad():
                for parameter in (w, b):
                    parameter -= 0.01 * parameter.grad / 40
                    parameter.grad.zero_()
            total += losses.sum().item()
        told["train_loss"].append(total / 100)
    return told


def drawn_one_by_one() -> Told:
    """No optimizer, no epochs, no validation: a mean of a hundred steps, and of what is left."""
    x, y, *_ = data()
    model, criterion = nn.Linear(5, 1), nn.BCEWithLogitsLoss()
    losses = []
    for _ in range(250):
        row = torch.randint(0, 100, (1,))
        model.zero_grad()
        loss = criterion(model(x[row]), y[row])
        loss.backward()
        for parameter in model.parameters():
            parameter.data.add_(parameter.grad, alpha=-0.05)
        losses.append(loss.item())
    return {"train_loss": [sum(part) / len(part) for part in (losses[:100], losses[100:200], losses[200:])]}


def several_kinds_of_steps() -> Told:
    """Steps that look alike for a while, and then are not: another loss waits, a loss is used later."""
    x, y, *_ = data()
    model, criterion = nn.Linear(5, 1), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told: Told = {"train_loss": []}
    for _epoch in range(2):
        total = 0.0
        for step in range(20):
            rows = slice(5 * step, 5 * step + 5)
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            if step % 7 == 5:
                criterion(model(x[:10]), y[:10])  # for a figure that nobody prints
            (2 * loss / 2 if step % 7 == 6 else loss).backward()
            if step % 7 == 4:
                criterion(model(x[:10]), y[:10])
            optimizer.step()
            total += loss.item()
        told["train_loss"].append(total / 20)
    return told


def averaged_weights_beside_the_model() -> Told:
    """Two networks are looked at in every epoch with one loader: they are not mixed."""
    x, y, xv, yv = data()
    training = DataLoader(TensorDataset(x, y), batch_size=25)
    held_out = DataLoader(TensorDataset(xv, yv), batch_size=15)
    model, criterion = nn.Linear(5, 1), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = torch.optim.swa_utils.AveragedModel(model)

    def evaluated(network):
        network.eval()
        with torch.no_grad():
            return sum(criterion(network(a), b).item() for a, b in held_out) / len(held_out)

    told: Told = {"train_loss": [], "val_loss": [], "val_2_loss": []}
    for _epoch in range(3):
        model.train()
        losses = []
        for inputs, targets in training:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            losses.append(loss.item())
        told["train_loss"].append(sum(losses) / len(losses))
        told["val_loss"].append(evaluated(model))
        told["val_2_loss"].append(evaluated(average))
    return told


def rates_that_fall_from_the_first_epoch() -> list[float]:
    """Trains a full batch; returns the learning rates, of which the first are known before epochs are."""
    x, y, *_ = data()
    model, criterion = network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    rates = []
    for _ in range(5):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return rates


LOOPS = [
    both_parts_by_one_function,
    loaders_and_no_grad_forgotten,
    summed_for_the_backward_pass,
    drawn_one_by_one,
    several_kinds_of_steps,
    averaged_weights_beside_the_model,
]
