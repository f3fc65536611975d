"""Combinations of independent decisions in the order of their scores, without listing them all."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any


def ranked_products(
    streams: Sequence[Iterator[tuple[float, Any]]],
) -> Iterator[tuple[float, tuple[Any, ...]]]:
    """Yield all combinations of one item per stream with the sums of their scores, descending.

    Nothing is computed before it is asked for: a combination is looked at once the one with its
    last changed item replaced by the next better one has been yielded.

    Args:
        streams: scores and items, in descending order of the scores; none is empty.
    """
    read: list[list[tuple[float, Any]]] = [[] for _ in streams]

    def item(stream: int, index: int) -> tuple[float, Any] | None:
        while len(read[stream]) <= index:
            found = next(streams[stream], None)
            if found is None:
                return None
            read[stream].append(found)
        return read[stream][index]

    first = [item(stream, 0) for stream in range(len(streams))]
    if any(found is None for found in first):
        raise ValueError("Every decision needs at least one outcome.")
    start = sum(found[0] for found in first if found is not None)
    order = count()
    heap = [(-start, next(order), (0,) * len(streams), 0)]
    while heap:
        negative, _, indices, last = heapq.heappop(heap)
        yield -negative, tuple(read[n][index][1] for n, index in enumerate(indices))
        for stream in range(last, len(streams)):
            index = indices[stream]
            following = item(stream, index + 1)
            if following is not None:
                score = negative + read[stream][index][0] - following[0]
                changed = (*indices[:stream], index + 1, *indices[stream + 1 :])
                heapq.heappush(heap, (score, next(order), changed, stream))
