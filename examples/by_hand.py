"""A network trained by hand, tracked by nothing in the code.

Run it with `tabstudio run by_hand.py` beside a `cancer_classification.csv` (`tabstudio demo` writes one).
"""

import pandas as pd
import torch
from sklearn.metrics import average_precision_score, classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)

# The rows: four parts in five to learn from, the rest to look at.
table = pd.read_csv("cancer_classification.csv")
names = LabelEncoder().fit(table["diagnosis"])
features, labels = table.drop(columns="diagnosis"), names.transform(table["diagnosis"])
seen, held, seen_labels, held_labels = train_test_split(
    features, labels, test_size=0.2, stratify=labels, random_state=3
)
scaler = StandardScaler().fit(seen)


def tensors(rows, targets):
    return torch.tensor(scaler.transform(rows), dtype=torch.float32), torch.tensor(targets).float()


train_rows, val_rows = tensors(seen, seen_labels), tensors(held, held_labels)
train_loader = DataLoader(TensorDataset(*train_rows), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(*val_rows), batch_size=256)


class Classifier(nn.Module):
    """One hidden layer with a way around it."""

    def __init__(self, inputs, width=24):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Dropout(0.2))
        self.out = nn.Linear(width, 1)
        self.around = nn.Linear(inputs, 1)

    def forward(self, rows):
        return (self.out(self.hidden(rows)) + self.around(rows)).squeeze(-1)


network = Classifier(features.shape[1])
loss_of = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)

# A loop as everybody writes it.
for epoch in range(15):
    network.train()
    for rows, targets in train_loader:
        optimizer.zero_grad()
        loss = loss_of(network(rows), targets)
        loss.backward()
        optimizer.step()
    schedule.step()
    network.eval()
    with torch.no_grad():
        answers = [(loss_of(network(rows), targets).item(), len(rows)) for rows, targets in val_loader]
    val_loss = sum(value * count for value, count in answers) / sum(count for _, count in answers)
    print(f"epoch {epoch + 1:2}  validation loss {val_loss:.4f}")

with torch.no_grad():
    scores = torch.sigmoid(network(val_rows[0]))
found = (scores >= 0.5).int()
print("average precision", round(average_precision_score(held_labels, scores), 4))
print(classification_report(held_labels, found, target_names=names.classes_))
print(confusion_matrix(held_labels, found))

# The one line that tracking cannot guess: the network with its scaler, as one model of raw rows.
import tabstudio

tabstudio.log_model(
    network,
    preprocessor=scaler,
    classes=names,
    target="diagnosis",
    input_example=seen,
    registered_model_name="cancer-by-hand",
)
