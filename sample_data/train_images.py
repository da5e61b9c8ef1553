"""Train a PreAct-ResNet-10 on the sample images: `python sample_data/train_images.py`.

There are 320 pictures to learn from, so each step sees them anew: moved, turned, zoomed, mirrored, and in other
colours, since a class has no colour of its own. Pixels are normalised to -1..1, mixcli's `--normalize half`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mixcli.models.registry import named

HERE = Path(__file__).parent


def load_split(folder: Path) -> tuple[Tensor, Tensor]:
    """Class folders -> images (n,3,H,W) f32, -1..1, and labels (n,) i64: the place of the class among the sorted."""
    names = sorted(path.name for path in folder.iterdir())
    files = sorted(folder.glob("*/*.png"))
    images = torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in files]))
    labels = torch.tensor([names.index(path.parent.name) for path in files])
    return images.permute(0, 3, 1, 2) / 127.5 - 1, labels


def network(widths: list[int], classes: int) -> nn.Module:
    """kuangliu's PreActResNet18 with one block in each of the four stages, and these widths."""
    shapes = {"conv1.weight": (widths[0], 3), "linear.weight": (classes, widths[-1])}
    for stage, (inner, outer) in enumerate(zip((widths[0], *widths), widths, strict=False), 1):
        shapes[f"layer{stage}.0.conv1.weight"] = (outer, inner)
        shapes[f"layer{stage}.0.conv2.weight"] = (outer, outer)
        shapes[f"layer{stage}.0.shortcut.0.weight"] = (outer, inner)
    return named("preact_resnet").build(shapes)


def moved(images: Tensor) -> Tensor:
    """(B,3,H,W) mirrored or not, turned by up to 10°, zoomed by 4/5..5/4, shifted by up to an eighth of the side."""
    batch = len(images)
    angle = torch.empty(batch).uniform_(-10, 10).deg2rad()
    zoom = torch.empty(batch).uniform_(-1, 1).mul(np.log(1.25)).exp()
    mirror = torch.randint(0, 2, (batch,)) * 2.0 - 1
    shift = torch.empty(2, batch).uniform_(-0.25, 0.25)  # of half a side
    x = torch.stack([mirror * zoom * angle.cos(), -zoom * angle.sin(), shift[0]], 1)
    y = torch.stack([mirror * zoom * angle.sin(), zoom * angle.cos(), shift[1]], 1)
    grid = F.affine_grid(torch.stack([x, y], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def recoloured(images: Tensor) -> Tensor:
    """(B,3,H,W) with the channels of each in a random order, as a negative or not."""
    order = torch.rand(len(images), 3).argsort(1)[:, :, None, None].expand_as(images)
    sign = torch.randint(0, 2, (len(images), 1, 1, 1)) * 2.0 - 1
    return images.gather(1, order) * sign


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right answers in eval mode."""
    found = torch.cat([model.eval()(batch).argmax(1) for batch in images.split(40)])
    return (found == labels).float().mean().item()


def train(model: nn.Module, images: Tensor, labels: Tensor, args: argparse.Namespace) -> None:
    steps = len(images) // args.batch  # the last, shorter batch is left out: BatchNorm wants full ones
    optimiser = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.lr, total_steps=args.epochs * steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for epoch in range(args.epochs):
        model.train()
        began, total = time.time(), 0.0
        for chosen in torch.randperm(len(images))[: steps * args.batch].split(args.batch):
            batch = recoloured(moved(images[chosen])).contiguous(memory_format=torch.channels_last)
            loss = criterion(model(batch), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{args.epochs}: loss {total / steps:.3f}, {time.time() - began:.1f} s", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "images", help="a folder of train/<class> and test/<class>")
    parser.add_argument("--out", type=Path, default=HERE / "preact_resnet.pt")
    parser.add_argument("--widths", type=int, nargs=4, default=[8, 24, 64, 128], help="channels of the stages")
    parser.add_argument("--epochs", type=int, default=130)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="sums depend on it in the last bit")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    splits = {split: load_split(args.data / split) for split in ("train", "test")}
    model = network(args.widths, 1 + int(splits["train"][1].max())).to(memory_format=torch.channels_last)
    train(model, *splits["train"], args)
    torch.save({"state_dict": {k: v.contiguous() for k, v in model.state_dict().items()}}, args.out)
    for split, data in splits.items():
        print(f"{split} accuracy {accuracy(model, *data):.4f} on {len(data[0])} images")


if __name__ == "__main__":
    main(arguments())
