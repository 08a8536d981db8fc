"""The gradients of several processes, averaged in one message per dtype."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .processes import Processes


class SharedGradients:
    """Makes every gradient the mean over the processes; does nothing for a single one.

    A parameter that no process has a gradient for keeps none, so that the optimizer leaves it alone as it would in a
    run of one process; one that only some have a gradient for counts as zero in the others.

    Args:
        parameters: those that learn.
        processes: that train together.
        as_views: gradients are computed right in the memory that is sent (`--ddp_gradient_as_bucket_view`): it saves
            their second copy, and a parameter that had a gradient once has one, perhaps zero, from then on.
        is_static: which parameters have gradients is asked once, not at every update (`--ddp_static_graph`).
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        processes: Processes,
        *,
        as_views: bool = False,
        is_static: bool = False,
    ) -> None:
        self.parameters, self.processes = list(parameters), processes
        self.as_views, self.is_static = as_views and processes.count > 1, is_static
        self._learning: list[int] | None = None
        self._messages: list[_Message] = []

    def average(self, loss: Tensor) -> None:
        """Average all gradients and the loss, a scalar, in place.

        Raises:
            UsageError: the layers that learn are not always the same, as `--ddp_static_graph` says.
            LostProcesses: another process is gone.
        """
        if self.processes.count == 1:
            return
        self._find_learning(loss.dtype)
        for message in self._messages:
            message.collect(loss)
            self.processes.average(message.flat)
            message.hand_out(loss)

    def clear(self) -> None:
        """Forget the gradients, after the update."""
        if self.as_views:
            for message in self._messages:
                message.flat.zero_()
            return
        for parameter in self.parameters:
            parameter.grad = None

    def _find_learning(self, loss_dtype: torch.dtype) -> None:
        mine = [parameter.grad is not None for parameter in self.parameters]
        if self.is_static and self._learning is not None:
            _refuse_others(mine, self._learning)
            return
        flags = self.processes.any_of(torch.tensor(mine, dtype=torch.uint8))
        learning = flags.nonzero().flatten().tolist()
        if learning == self._learning:
            return
        self._learning = learning
        found = [self.parameters[index] for index in learning]
        # A set's order differs from process to process, and all must send the same message first.
        dtypes = dict.fromkeys([loss_dtype, *(parameter.dtype for parameter in found)])
        self._messages = [_Message(dtype, found, carries_loss=dtype is loss_dtype) for dtype in dtypes]


class _Message:
    """One stretch of memory with the gradients of one dtype; the loss stands behind them where it has that dtype."""

    def __init__(self, dtype: torch.dtype, parameters: Sequence[nn.Parameter], *, carries_loss: bool) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.dtype is dtype]
        sizes = [parameter.numel() for parameter in self.parameters]
        device = parameters[0].device if parameters else None
        self.flat = torch.zeros(sum(sizes) + carries_loss, dtype=dtype, device=device)
        parts = self.flat[: sum(sizes)].split(sizes)
        self.views = [part.view_as(owner) for part, owner in zip(parts, self.parameters, strict=True)]
        self.carries_loss = carries_loss

    @torch.no_grad()
    def collect(self, loss: Tensor) -> None:
        """Copy what does not lie here yet, and make every gradient a view."""
        copied: list[tuple[Tensor, Tensor]] = []
        for parameter, view in zip(self.parameters, self.views, strict=True):
            if parameter.grad is None:
                view.zero_()
            elif parameter.grad.data_ptr() != view.data_ptr():
                copied.append((view, parameter.grad))
            parameter.grad = view
        if copied:
            torch._foreach_copy_([view for view, _ in copied], [grad for _, grad in copied])
        if self.carries_loss:
            self.flat[-1] = loss

    @torch.no_grad()
    def hand_out(self, loss: Tensor) -> None:
        """Put the loss back; the gradients are in place."""
        if self.carries_loss:
            loss.copy_(self.flat[-1])


def _refuse_others(mine: Sequence[bool], learning: Sequence[int]) -> None:
    late = [index for index, has_gradient in enumerate(mine) if has_gradient and index not in set(learning)]
    if late:
        raise UsageError(
            where="--ddp_static_graph",
            what=f"{len(late)} tensors have a gradient now that had none in the first update.",
            why="The option says that the same layers learn at every step; module_dropout, for one, breaks that.",
            fix="Leave --ddp_static_graph out.",
        )
