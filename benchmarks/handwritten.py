"""What people write by hand for the breast-cancer table, as the well-known tutorial has it.

    python handwritten.py cancer_classification.csv

It is the yardstick of `first_model`: a plain full-batch loop under `mlflow.pytorch.autolog()`, which
logs nothing of it.
"""

import sys

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import mlflow.pytorch
import pandas as pd
import seaborn as sns
import torch
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from torch import nn, optim

frame = pd.read_csv(sys.argv[1])
frame.info()
print(frame.describe().transpose())
sns.countplot(x="diagnosis", data=frame)
plt.show()
frame["diagnosis"] = (frame["diagnosis"] != "benign").astype(int)
sns.heatmap(frame.corr(), annot=True)
plt.show()

X, y = frame.drop(columns="diagnosis").to_numpy(), frame["diagnosis"].to_numpy()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=101)
scaler = MinMaxScaler()
X_train, X_test = scaler.fit_transform(X_train), scaler.transform(X_test)


class Network(nn.Module):
    """Three linear layers with dropout between them."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(inputs, 30), nn.Linear(30, 15), nn.Linear(15, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (rows, 1) of inputs (rows, inputs)."""
        x = self.dropout(torch.relu(self.first(x)))
        return self.third(self.dropout(torch.relu(self.second(x))))


model = Network(X_train.shape[1])
criterion = nn.BCEWithLogitsLoss()
optimizer = optim.Adam(model.parameters(), lr=0.0001)
mlflow.pytorch.autolog()
with mlflow.start_run():
    history = []
    for epoch in range(1, 51):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(torch.tensor(X_train).float()), torch.tensor(y_train).float().view(-1, 1))
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            val = criterion(model(torch.tensor(X_test).float()), torch.tensor(y_test).float().view(-1, 1))
        history.append((loss.item(), val.item()))
        print(f"epoch {epoch}/50, loss {loss.item():.4f}, val {val.item():.4f}")
    plt.figure(figsize=(10, 5))
    for label, values in zip(("train", "validation"), zip(*history, strict=True), strict=True):
        plt.plot(range(1, 51), values, label=label)
    plt.legend()
    plt.show()

model.eval()
with torch.no_grad():
    answers = (torch.sigmoid(model(torch.tensor(X_test).float())) > 0.5).int().numpy()
print(classification_report(y_test, answers, zero_division=0))
print(confusion_matrix(y_test, answers))
