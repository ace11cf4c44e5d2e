"""Model 1 or 4 trained in PyTorch: an epoch for each line on stdin, answered by a line on stdout.

The peer of ``train.py``, which starts it with its settings as JSON: in a process of its own, since
two libraries in one process share their threads badly. Eager mode, channels last.
"""

import json
import sys

import torch
from torch import nn


def model_1():
    layers, channels = [], 3
    for filters, dropout in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for inputs in (channels, filters):
            layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU()]
            layers += [nn.BatchNorm2d(filters, eps=1e-3)]
        layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
        channels = filters
    layers += [nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.BatchNorm1d(128, eps=1e-3)]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(128, 10))


def model_4():
    whitening = nn.Conv2d(3, 24, 2)
    whitening.weight.requires_grad = False
    layers, channels = [whitening, nn.GELU()], 24
    for filters in (64, 256, 256):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(filters, eps=1e-12), nn.GELU()]
        layers += [nn.Conv2d(filters, filters, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(filters, eps=1e-12), nn.GELU()]
        channels = filters
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.requires_grad = False
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def mirror_and_shift(images, max_shift):
    """Augment images (tensor of float, shape (N, 3, 32, 32)) as `utils.pipeline.augment` does."""
    padded = nn.functional.pad(images, [max_shift] * 4, mode="reflect").permute(0, 2, 3, 1)
    shifts = torch.randint(2 * max_shift + 1, (2, len(images), 1))
    rows, columns = shifts + torch.arange(32)
    mirrored = torch.rand(len(images), 1) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    place = torch.arange(len(images))[:, None, None]
    return padded[place, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train_epoch(model, optimizer, images, labels, settings):
    for batch in torch.randperm(len(images)).split(settings["batch"]):
        inputs = mirror_and_shift(images[batch].float() / 255, settings["max_shift"])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            outputs = model(inputs)
        loss = nn.functional.cross_entropy(outputs.float(), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    count = settings["batch"] * settings["steps"]
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8)
    images, labels = images.to(memory_format=torch.channels_last), torch.randint(10, (count,))
    model = {"model_1": model_1, "model_4": model_4}[settings["model"]]().to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.SGD(
        model.parameters(), settings["rate"], momentum=settings["momentum"], nesterov=True
    )
    for _ in sys.stdin:
        train_epoch(model, optimizer, images, labels, settings)
        print("done", flush=True)
