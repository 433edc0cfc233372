"""The layer in a LightningModule: a forecast for each of 24 hours, by a layer of its own.

    pip install 'per_step_dense[interop]'
    python examples/lightning_module.py

Each hour of a day depends on the four readings before it in another way. One layer of all hours
learns that; one dense layer that all hours share cannot.
"""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import per_step_dense as psd

HOURS, READINGS = 24, 4


class Forecast(lightning.LightningModule):
    """A linear forecast; ``layer`` maps (batch, hours, readings) to (batch, hours, 1)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The mean squared error of a batch."""
        readings, expected = batch
        return nn.functional.mse_loss(self.layer(readings).squeeze(-1), expected)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.02)


def days(count: int) -> TensorDataset:
    """Readings (count, hours, readings), and what follows from them in each hour."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(HOURS, READINGS, generator=generator)
    readings = torch.randn(count, HOURS, READINGS, generator=generator)
    return TensorDataset(readings, (readings * weights).sum(-1))


def train(layer: nn.Module, epochs: int = 8) -> float:
    """The error that is left after training."""
    data = days(2048)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Forecast(layer)
    trainer.fit(model, DataLoader(data, batch_size=64, shuffle=True))
    with torch.no_grad():
        return float(model.cpu().training_step((data.tensors[0], data.tensors[1])))


def main() -> None:
    """Prints both errors."""
    lightning.seed_everything(0)
    print(f"a layer for each hour   {train(psd.PerStepDense(HOURS, READINGS, 1)):.4f}")
    print(f"one layer for all hours {train(nn.Linear(READINGS, 1)):.4f}")


if __name__ == "__main__":
    main()
