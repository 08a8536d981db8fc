"""Which pictures are drawn together. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .request import Request


def batches(
    requests: Iterable[Request], size: int, text_length: Callable[[Request], int] = lambda request: 0
) -> Iterator[list[Request]]:
    """Neighbours that differ in prompts, seeds and pictures only, `size` at most at a time.

    Args:
        requests: in their order, which is kept.
        size: of `--batch_size`.
        text_length: of a request's prompts; they have to be equal too.
    """
    batch: list[Request] = []
    common: tuple[object, ...] = ()
    for request in requests:
        own = _in_common(request, text_length(request))
        if batch and (len(batch) == size or own != common):
            yield batch
            batch = []
        batch.append(request)
        common = own
    if batch:
        yield batch


def _in_common(request: Request, text_length: int) -> tuple[object, ...]:
    has_mask = request.start is not None and request.start.mask is not None
    return (
        *(request.size_wh, request.steps, request.scale, request.negative_scale, request.sampler, request.strength),
        *(request.multipliers, request.start is None, has_mask, len(request.guides), text_length),
    )
