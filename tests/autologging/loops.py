"""Training loops as people write them. Each returns what it would print: metric names and their values.

Names and order of the metrics are the recorder's, the figures are computed by the loop itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

Told = dict[str, list[float]]


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(130, 5, generator=random)
    y = (x[:, :1] + 0.3 * torch.randn(130, 1, generator=random) > 0).float()
    return x[:100], y[:100], x[100:], y[100:]


def network(outputs: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs)
    )


def full_batch() -> Told:
    x, y, xv, yv = data()
    model = network()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(5):
        model.train()
        optimizer.zero_grad()
        outputs = model(x)
        loss = criterion(outputs, y)
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(xv), yv)
        told["train_loss"].append(loss.item())
        told["val_loss"].append(val_loss.item())
    return told


def train(model, device, loader, optimizer, epoch):
    model.train()
    total = 0.0
    for _, (rows, target) in enumerate(loader):
        rows, target = rows.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(rows)
        loss = F.binary_cross_entropy_with_logits(output, target)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(loader.dataset)


def test(model, device, loader):
    model.eval()
    test_loss = 0.0
    with torch.no_grad():
        for rows, target in loader:
            output = model(rows.to(device))
            test_loss += F.binary_cross_entropy_with_logits(output, target, reduction="sum").item()
    return test_loss / len(loader.dataset)


test.__test__ = False  # type: ignore[attr-defined] - not pytest's


def two_functions() -> Told:
    """PyTorch's MNIST example: a mean to train on, a sum to test."""
    x, y, xv, yv = data()
    model = network()
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(xv, yv), batch_size=8)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    told: Told = {"train_loss": [], "val_loss": [], "learning_rate": []}
    for epoch in range(1, 4):
        told["learning_rate"].append(optimizer.param_groups[0]["lr"])
        told["train_loss"].append(train(model, "cpu", train_loader, optimizer, epoch))
        told["val_loss"].append(test(model, "cpu", test_loader))
        scheduler.step()
    return told


def phases() -> Told:
    """PyTorch's transfer-learning tutorial: one loop for both phases."""
    x, y, xv, yv = data()
    model = network()
    loaders = {
        "train": DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True),
        "val": DataLoader(TensorDataset(xv, yv), batch_size=16),
    }
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    told: Told = {"train_loss": [], "val_loss": []}
    for _ in range(3):
        for phase in ["train", "val"]:
            model.train(phase == "train")
            running_loss = 0.0
            for inputs, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
            told[f"{phase}_loss"].append(running_loss / len(loaders[phase].dataset))
    return told


def index_slices() -> Told:
    """Batches by slices of a permutation, validation in inference mode, a test at the end."""
    x, y, xv, yv = data()
    model = network()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

    def evaluate(rows, targets):
        model.eval()
        with torch.inference_mode():
            return criterion(model(rows), targets).item()

    told: Told = {"train_loss": [], "val_loss": [], "test_loss": []}
    for _ in range(3):
        model.train()
        total, order = 0.0, torch.randperm(len(x))
        for at in range(0, len(x), 30):
            rows = order[at : at + 30]
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        told["train_loss"].append(total / len(x))
        told["val_loss"].append(evaluate(xv[:15], yv[:15]))
    told["test_loss"].append(evaluate(xv[15:], yv[15:]))
    return told


def accumulated_with_scaler() -> Told:
    """Gradient accumulation under autocast with a `GradScaler`; the loss that counts is the undivided one."""
    x, y, xv, yv = data()
    model = network()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    told: Told = {"train_loss": [], "val_loss": []}
    loader = DataLoader(TensorDataset(x, y), batch_size=10)
    for _ in range(3):
        model.train()
        losses = []
        for i, (rows, target) in enumerate(loader):
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(rows), target)
            losses.append(loss.item())
            scaler.scale(loss / 4).backward()
            if (i + 1) % 4 == 0 or i + 1 == len(loader):
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            told["val_loss"].append(criterion(model(xv), yv).item())
        told["train_loss"].append(sum(losses) / len(losses))
    return told


def closure() -> Told:
    x, y, xv, yv = data()
    model = nn.Linear(5, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    told: Told = {"train_loss": [], "val_loss": []}
    for _i in range(4):

        def evaluate_again():
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            return loss

        told["train_loss"].append(optimizer.step(evaluate_again).item())
        with torch.no_grad():
            told["val_loss"].append(criterion(model(xv), yv).item())
    return told


def two_networks() -> Told:
    """A GAN after PyTorch's DCGAN tutorial."""
    x, *_ = data()
    netG, netD = nn.Linear(3, 5), nn.Sequential(nn.Linear(5, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    optimizerD = torch.optim.Adam(netD.parameters(), lr=0.002)
    optimizerG = torch.optim.Adam(netG.parameters(), lr=0.001)
    told: Told = {"train_errD_real": [], "train_errD_fake": [], "train_errG": []}
    for _epoch in range(2):
        sums = [0.0, 0.0, 0.0]
        for i in range(0, 100, 25):
            netD.zero_grad()
            label = torch.full((25, 1), 1.0)
            errD_real = criterion(netD(x[i : i + 25]), label)
            errD_real.backward()
            fake = netG(torch.randn(25, 3))
            label.fill_(0.0)
            errD_fake = criterion(netD(fake.detach()), label)
            errD_fake.backward()
            optimizerD.step()
            netG.zero_grad()
            label.fill_(1.0)
            errG = criterion(netD(fake), label)
            errG.backward()
            optimizerG.step()
            sums = [a + b.item() / 4 for a, b in zip(sums, (errD_real, errD_fake, errG), strict=True)]
        for values, value in zip(told.values(), sums, strict=True):
            values.append(value)
    return told


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 4), nn.Linear(2, 5)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.decoder(z)), mu, logvar


def loss_of_several_terms() -> Told:
    """PyTorch's VAE example: the loss is a function of the user's own, summed over the rows."""
    x, _, xv, _ = (torch.sigmoid(part) for part in data())
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(3):
        model.train()
        train_loss = 0.0
        for rows in DataLoader(x, batch_size=32):
            optimizer.zero_grad()
            recon, mu, logvar = model(rows)
            loss = loss_function(recon, rows, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        told["train_loss"].append(train_loss / len(x))
        model.eval()
        val_loss = 0.0
        with torch.no_grad():
            for rows in DataLoader(xv, batch_size=20):
                recon, mu, logvar = model(rows)
                val_loss += loss_function(recon, rows, mu, logvar).item()
        told["val_loss"].append(val_loss / len(xv))
    return told


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 1)

    def forward(self, x, targets=None):
        out = self.head(x)
        return out, None if targets is None else F.mse_loss(out, targets)


def by_steps() -> Told:
    """nanoGPT's loop: no epochs, the loss comes out of the model, both parts are estimated now and then."""
    x, y, xv, yv = data()
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    told: Told = {"train_loss": [], "val_loss": [], "train_eval_loss": []}

    def get_batch(split):
        rows, targets = (x, y) if split == "train" else (xv, yv)
        ix = torch.randint(len(rows), (16,))
        return rows[ix], targets[ix]

    @torch.no_grad()
    def estimate_loss():
        out = {}
        model.eval()
        for split in ["train", "val"]:
            losses = torch.zeros(4)
            for k in range(4):
                _, loss = model(*get_batch(split))
                losses[k] = loss.item()
            out[split] = losses.mean().item()
        model.train()
        return out

    iter_num, since = 0, []
    while True:
        if iter_num % 5 == 0:
            losses = estimate_loss()
            told["val_loss"].append(losses["val"])
            told["train_eval_loss"].append(losses["train"])
            if since:
                told["train_loss"].append(sum(since) / len(since))
                since = []
        for _ in range(2):
            X, Y = get_batch("train")
            _, loss = model(X, Y)
            since.append(loss.item())
            loss = loss / 2
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        iter_num += 1
        if iter_num > 12:
            break
    told["train_loss"].append(sum(since) / len(since))
    return told


def without_optimizer() -> Told:
    x, y, _, _ = data()
    weight = torch.zeros(5, 1, requires_grad=True)
    told: Told = {"train_loss": []}
    for _epoch in range(5):
        loss = ((x @ weight - y) ** 2).mean()
        loss.backward()
        told["train_loss"].append(loss.item())
        with torch.no_grad():
            weight -= 0.1 * weight.grad
            weight.grad = None
    return told


class Dice(nn.Module):
    def forward(self, raw, target):
        probability = torch.sigmoid(raw)
        both = (probability * target).sum()
        return 1 - 2 * both / (probability.sum() + target.sum())


class Trainer:
    """A class that holds everything, and a criterion of arithmetic alone."""

    def __init__(self) -> None:
        self.model = network()
        self.criterion = Dice()
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=0.01)
        x, y, xv, yv = data()
        rows = TensorDataset(torch.cat([x, xv]), torch.cat([y, yv]))
        self.train_dl = DataLoader(Subset(rows, range(100)), batch_size=50, shuffle=True)
        self.valid_dl = DataLoader(Subset(rows, range(100, 130)), batch_size=30)

    def fit(self, epochs: int) -> Told:
        told: Told = {"train_loss": [], "val_loss": []}
        for _ in range(epochs):
            told["train_loss"].append(self.run_epoch(self.train_dl, training=True))
            told["val_loss"].append(self.run_epoch(self.valid_dl, training=False))
        return told

    def run_epoch(self, loader, training: bool) -> float:
        self.model.train(training)
        total = 0.0
        with torch.set_grad_enabled(training):
            for rows, target in loader:
                loss = self.criterion(self.model(rows), target)
                if training:
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                total += loss.item() * len(rows)
        return total / len(loader.dataset)


def in_a_class() -> Told:
    return Trainer().fit(3)


def validation_first_and_no_eval() -> Told:
    """Validates before it trains, in training mode."""
    x, y, xv, yv = data()
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _ in range(3):
        with torch.no_grad():
            told["val_loss"].append(F.cross_entropy(model(xv), yv[:, 0].long()).item())
        total = 0.0
        for i in range(0, 100, 25):
            loss = F.cross_entropy(model(x[i : i + 25]), y[i : i + 25, 0].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / 4
        told["train_loss"].append(total)
    return told


def no_grad_forgotten() -> Told:
    x, y, xv, yv = data()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.HuberLoss()
    told: Told = {"train_loss": [], "val_loss": []}
    for _ in range(4):
        model.train()
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told["train_loss"].append(loss.item())
        model.eval()
        told["val_loss"].append(loss_fn(model(xv), yv).item())
    return told


def figures_of_the_batch() -> Told:
    """Losses that are computed without gradients on the batch that is trained on are no validation."""
    x, y, _, _ = data()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": []}
    for _ in range(3):
        total = 0.0
        for rows, target in DataLoader(TensorDataset(x, y), batch_size=25):
            output = model(rows)
            loss = F.mse_loss(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                F.l1_loss(output, target)
                F.l1_loss(output.detach(), target)
            total += loss.item() / 4
        told["train_loss"].append(total)
    return told


def unreduced() -> Told:
    """The criterion gives a loss for each row; the script weighs and averages them."""
    x, y, xv, yv = data()
    model = network()
    criterion = nn.BCEWithLogitsLoss(reduction="none")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": []}
    for _ in range(3):
        model.train()
        total = 0.0
        for i in range(0, 100, 20):
            loss = criterion(model(x[i : i + 20]), y[i : i + 20]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / 5
        told["train_loss"].append(total)
        model.eval()
        with torch.no_grad():
            criterion(model(xv), yv).mean()
    return told


def sum_of_two_losses() -> Told:
    x, y, _, _ = data()
    model = network(2)
    first, second = nn.BCEWithLogitsLoss(), nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "train_BCEWithLogitsLoss": [], "train_L1Loss": []}
    for _ in range(3):
        sums = [0.0, 0.0, 0.0]
        for i in range(0, 100, 50):
            out, target = model(x[i : i + 50]), y[i : i + 50]
            one, two = first(out[:, :1], target), second(out[:, 1:], target)
            loss = one + 0.5 * two
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums = [a + b.item() / 2 for a, b in zip(sums, (loss, one, two), strict=True)]
        for values, value in zip(told.values(), sums, strict=True):
            values.append(value)
    return told


def policy_gradient() -> Told:
    """PyTorch's REINFORCE example: an episode, then one step on a list of losses."""
    x, *_ = data()
    policy = nn.Sequential(nn.Linear(5, 2), nn.Softmax(dim=-1))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)

    def finish_episode(log_probs):
        policy_loss = [-p * (1.0 + t) for t, p in enumerate(log_probs)]
        optimizer.zero_grad()
        loss = torch.stack(policy_loss).sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = []
    for i_episode in range(4):
        log_probs = []
        for t in range(5):
            choice = torch.distributions.Categorical(policy(x[i_episode * 5 + t]))
            log_probs.append(choice.log_prob(choice.sample()))
        losses.append(finish_episode(log_probs))
    return {"train_loss": [sum(losses) / 4], "train_loss_step": losses}


def two_trainings() -> Told:
    """A loop over folds: each is a training, in a run of its own."""
    x, y, _, _ = data()
    told: Told = {"train_loss": [], "val_loss": []}
    for fold in range(2):
        model = network()
        criterion = nn.BCEWithLogitsLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        own = slice(fold * 50, fold * 50 + 50)
        for _ in range(3):
            model.train()
            optimizer.zero_grad()
            loss = criterion(model(x[own]), y[own])
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                val_loss = criterion(
                    model(x[50 - fold * 50 : 100 - fold * 50]), y[50 - fold * 50 : 100 - fold * 50]
                )
            told["train_loss"].append(loss.item())
            told["val_loss"].append(val_loss.item())
    return told


def best_model_is_tested() -> Told:
    """Two evaluated parts in each epoch."""
    x, y, xv, yv = data()
    model = network()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True)
    valid_loader = DataLoader(TensorDataset(xv[:15], yv[:15]), batch_size=8)
    test_loader = DataLoader(TensorDataset(xv[15:], yv[15:]), batch_size=8)

    @torch.no_grad()
    def evaluate(loader):
        model.eval()
        return sum(criterion(model(a), b).item() * len(a) for a, b in loader) / len(loader.dataset)

    told: Told = {"train_loss": [], "val_loss": [], "test_loss": []}
    for epoch in range(3):
        told["train_loss"].append(train(model, "cpu", train_loader, optimizer, epoch))
        told["val_loss"].append(evaluate(valid_loader))
        told["test_loss"].append(evaluate(test_loader))
        scheduler.step(told["val_loss"][-1])
    return told


def validation_by_hand() -> Told:
    """No function computes a loss; an accuracy is read beside it."""
    x, y, xv, yv = data()
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(4):
        net.train()
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            val = torch.mean((net(xv) - yv) ** 2).item()
            ((net(xv) > 0.5) == (yv > 0.5)).float().mean().item()
        told["train_loss"].append(loss.item())
        told["val_loss"].append(val)
    return told


def validation_by_hand_in_batches() -> Told:
    x, y, xv, yv = data()
    net, train_loader = network(), DataLoader(TensorDataset(x, y), batch_size=20)
    valid_loader = DataLoader(TensorDataset(xv, yv), batch_size=10)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(3):
        net.train()
        total, val_loss = 0.0, 0.0
        for rows, target in train_loader:
            loss = ((net(rows) - target) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / 5
        net.eval()
        with torch.inference_mode():
            for rows, target in valid_loader:
                val_loss += ((net(rows) - target) ** 2).mean().item()
        told["train_loss"].append(total)
        told["val_loss"].append(val_loss / 3)
    return told


def validation_known_to_a_scheduler() -> Told:
    """What it is computed of cannot be seen; its name says what it is."""
    x, y, xv, yv = data()
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(3):
        net.train()
        loss = ((net(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            errors = net(xv).numpy() - yv.numpy()
        val_loss = float((errors**2).mean())
        scheduler.step(val_loss)
        told["train_loss"].append(loss.item())
        told["val_loss"].append(val_loss)
    return told


def no_validation_loss_at_all() -> Told:
    """Figures are read of the validation rows, and a scheduler watches one: none of them is a loss."""
    x, y, xv, yv = data()
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    told: Told = {"train_loss": []}
    for _epoch in range(3):
        net.train()
        loss = ((net(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss = loss.detach()
        net.eval()
        with torch.no_grad():
            val = ((net(xv) > 0.5) == (yv > 0.5)).float().mean().item()
            largest = net(xv).max().item()
        assert val <= 1.0
        scheduler.step(largest)
        told["train_loss"].append(train_loss.item())
    return told


class Labelled(nn.Module):
    """Makes its criterion anew for each loss, as transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 2)

    def forward(self, rows, labels=None):
        logits = self.head(rows)
        loss = None if labels is None else nn.CrossEntropyLoss()(logits.view(-1, 2), labels.view(-1))
        return {"loss": loss, "logits": logits}


def criterion_made_anew() -> Told:
    x, y, xv, yv = data()
    model = Labelled()
    train_loader = DataLoader(TensorDataset(x, y[:, 0].long()), batch_size=20, shuffle=True)
    valid_loader = DataLoader(TensorDataset(xv, yv[:, 0].long()), batch_size=10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    told: Told = {"train_loss": [], "val_loss": []}
    for _epoch in range(3):
        model.train()
        total = 0.0
        for rows, labels in train_loader:
            outputs = model(rows, labels=labels)
            outputs["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            total += outputs["loss"].item() / 5
        model.eval()
        with torch.no_grad():
            losses = [model(rows, labels=labels)["loss"].item() for rows, labels in valid_loader]
        told["train_loss"].append(total)
        told["val_loss"].append(sum(losses) / 3)
    return told


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rnn, self.decoder = nn.Embedding(7, 6), nn.GRU(6, 6), nn.Linear(6, 7)

    def forward(self, words, hidden):
        output, hidden = self.rnn(self.encoder(words), hidden)
        return self.decoder(output).view(-1, 7), hidden


def language_model() -> Told:
    """PyTorch's word language model: no optimizer object, a hidden state, rows of words."""
    words = torch.randint(0, 7, (61, 4), generator=torch.Generator().manual_seed(2))
    model, criterion = Language(), nn.CrossEntropyLoss()
    told: Told = {"train_loss": [], "val_loss": []}

    def loss_of(at, hidden):
        output, hidden = model(words[at : at + 10], hidden)
        return criterion(output, words[at + 1 : at + 11].view(-1)), hidden.detach()

    for _epoch in range(3):
        model.train()
        hidden, losses = torch.zeros(1, 4, 6), []
        for i in range(0, 40, 10):
            model.zero_grad()
            loss, hidden = loss_of(i, hidden)
            loss.backward()
            for parameter in model.parameters():
                parameter.data.add_(parameter.grad, alpha=-0.5)
            losses.append(loss.item())
        told["train_loss"].append(sum(losses) / 4)
        model.eval()
        with torch.no_grad():
            told["val_loss"].append(loss_of(50, hidden)[0].item())
    return told


LOOPS = [
    full_batch,
    two_functions,
    phases,
    index_slices,
    accumulated_with_scaler,
    closure,
    two_networks,
    loss_of_several_terms,
    by_steps,
    without_optimizer,
    in_a_class,
    validation_first_and_no_eval,
    no_grad_forgotten,
    figures_of_the_batch,
    unreduced,
    sum_of_two_losses,
    policy_gradient,
    two_trainings,
    best_model_is_tested,
    validation_by_hand,
    validation_by_hand_in_batches,
    validation_known_to_a_scheduler,
    no_validation_loss_at_all,
    criterion_made_anew,
    language_model,
]
