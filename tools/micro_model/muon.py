"""Muon for matrices and convolutions, AdamW for the rest: learns these small models in half of AdamW's steps.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# Quintic iteration that pushes all singular values towards 1; coefficients from the Muon article.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Nearly the closest semi-orthogonal matrices.

    Args:
        matrices: (count, rows, columns).
    """
    a, b, c = QUINTIC
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class MuonWithAdamW:
    """Both optimizers behind one step; weights of one shape are orthogonalized together, to save overhead."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        adamw_lr: float,
        momentum: float,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
        calmed: Mapping[nn.Parameter, float] | None = None,
    ) -> None:
        """Args:
        dtype: the orthogonalization's; bfloat16 is exact enough for it and takes a third of the time.
        calmed: factors of the learning rate; deep stacks of layers run away at the rate of shallow ones.
        """
        self.matrices: dict[tuple[int, int, float], list[nn.Parameter]] = defaultdict(list)
        others: list[nn.Parameter] = []
        for parameter in parameters:
            rows, columns = parameter.shape[0], parameter[0].numel()
            if parameter.ndim >= 2 and min(rows, columns) >= 4:
                self.matrices[rows, columns, (calmed or {}).get(parameter, 1.0)].append(parameter)
            else:
                others.append(parameter)
        self.lr, self.adamw_lr, self.momentum, self.weight_decay = lr, adamw_lr, momentum, weight_decay
        self.dtype = dtype
        self.buffers = {shape: torch.zeros(len(group), *shape[:2]) for shape, group in self.matrices.items()}
        self.adamw = torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.99), weight_decay=0.0)

    def add_to_adamw(self, parameter: nn.Parameter) -> None:
        """Leaves a matrix to AdamW: token vectors are rows of their own, not one linear map."""
        self.adamw.add_param_group({"params": [parameter]})

    def zero_grad(self) -> None:
        self.adamw.zero_grad()
        for group in self.matrices.values():
            for parameter in group:
                parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with both learning rates multiplied by `rate`."""
        for (rows, columns, factor), group in self.matrices.items():
            gradients = torch.stack([parameter.grad.reshape(rows, columns) for parameter in group])
            buffer = self.buffers[rows, columns, factor].mul_(self.momentum).add_(gradients)
            gradients.add_(buffer, alpha=self.momentum)
            updates = orthogonalize(gradients.to(self.dtype)).float()
            lr = self.lr * rate * factor
            for parameter, update in zip(group, updates, strict=True):
                parameter.mul_(1 - lr * self.weight_decay)
                parameter.sub_(update.reshape(parameter.shape), alpha=lr * max(1.0, rows / columns) ** 0.5)
        for group in self.adamw.param_groups:
            group["lr"] = self.adamw_lr * rate
        self.adamw.step()


class MovingAverage:
    """Exponential moving average of parameters, quick to follow in the first steps."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.averages = [parameter.detach().clone() for parameter in self.parameters]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges averages and parameters; call again to go on training."""
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
