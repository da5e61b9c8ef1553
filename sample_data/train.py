"""Train a DGCNN on clouds in ModelNet40's layout: `python sample_data/train.py --data FOLDER --out dgcnn.pt`.

The published recipe in miniature: stretch and shift augmentation, AdamW, cosine learning rate,
cross-entropy with smoothing 0.2. Each step sees a random subset of each cloud's points: a small one for most
of the time, since it is quick, and at the end as many as the test has, since the distance to the k-th
neighbour, and with it the running BatchNorm statistics, depends on their number.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from mixcli.models.dgcnn import DGCNN

HERE = Path(__file__).parent
FULL_FROM = 0.8  # the share of the epochs that see `--points`; the rest see `--eval-points`


def load(path: Path) -> tuple[Tensor, Tensor]:
    """One HDF5 file -> clouds (n,N,3) f32, labels (n,) i64."""
    with h5py.File(path) as file:
        clouds, labels = file["data"][:], file["label"][:].astype(np.int64)
    return torch.from_numpy(clouds), torch.from_numpy(labels).flatten()


def load_split(where: Path, split: str) -> tuple[Tensor, Tensor] | None:
    """All `*<split>*.h5` of a folder, or the one file whose name has `split` in the place of `train`."""
    if where.is_dir():
        paths = sorted(where.glob(f"*{split}*.h5"))
    else:
        named = where.with_name(re.sub("train", split, where.name))
        paths = [named] if named.exists() and (split == "train" or named != where) else []
    if not paths:
        return None
    clouds, labels = zip(*map(load, paths), strict=True)
    return torch.cat(clouds), torch.cat(labels)


def augment(clouds: Tensor, points: int) -> Tensor:
    """(B,N,3) -> (B,points,3): a random subset, each axis stretched by 2/3..3/2 and shifted by up to 0.2."""
    batch, n, _ = clouds.shape
    subset = torch.rand(batch, n).argsort(1)[:, :points, None].expand(-1, -1, 3)
    stretch = torch.empty(batch, 1, 3).uniform_(2 / 3, 3 / 2)
    shift = torch.empty(batch, 1, 3).uniform_(-0.2, 0.2)
    return clouds.gather(1, subset) * stretch + shift


@torch.no_grad()
def accuracy(model: nn.Module, clouds: Tensor, labels: Tensor, points: int) -> float:
    """Share of right answers in eval mode, on the first `points` points of each cloud as is customary."""
    model.eval()
    found = torch.cat([model(batch[:, :points]).argmax(1) for batch in clouds.split(16)])
    return (found == labels).float().mean().item()


def train(model: nn.Module, clouds: Tensor, labels: Tensor, args: argparse.Namespace) -> None:
    steps = len(clouds) // args.batch  # the last, shorter batch is left out: BatchNorm wants full ones
    optimiser = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, args.epochs * steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    for epoch in range(args.epochs):
        model.train()
        points = args.points if epoch < FULL_FROM * args.epochs else args.eval_points
        began, total, right = time.time(), 0.0, 0
        for chosen in torch.randperm(len(clouds))[: steps * args.batch].split(args.batch):
            logits = model(augment(clouds[chosen], points))
            loss = criterion(logits, labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total, right = total + loss.item(), right + (logits.argmax(1) == labels[chosen]).sum().item()
        seen = steps * args.batch
        print(
            f"epoch {epoch + 1}/{args.epochs}: loss {total / steps:.3f}, accuracy {right / seen:.1%}, "
            f"{time.time() - began:.1f} s",
            flush=True,
        )


def save(model: nn.Module, path: Path) -> None:
    """A bare state_dict with the `module.` prefix of DataParallel, as the published repositories save it."""
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "clouds", help="a folder, or its train file")
    parser.add_argument("--out", type=Path, default=HERE / "dgcnn.pt")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--points", type=int, default=512, help="of each cloud, drawn anew in every step")
    parser.add_argument("--eval-points", type=int, default=1024)
    parser.add_argument("--k", type=int, default=20, help="neighbours of a point")
    parser.add_argument("--emb-dims", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="sums depend on it in the last bit")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    splits = {split: load_split(args.data, split) for split in ("train", "test")}
    if splits["train"] is None:
        raise SystemExit(f"{args.data}: no train file here")
    classes = 1 + max(int(labels.max()) for _, labels in filter(None, splits.values()))
    model = DGCNN(classes, k=args.k, emb=args.emb_dims)
    train(model, *splits["train"], args)
    save(model, args.out)
    for split, data in splits.items():
        if data:
            print(f"{split} accuracy {accuracy(model, *data, args.eval_points):.4f} on {len(data[0])} clouds")


if __name__ == "__main__":
    main(arguments())
