"""Time two ways alternately in one process, and print their ratio with its spread."""

import statistics
import time


def compare(name, ours, peer, pairs=7):
    """Print how many times as fast `ours` is as `peer`; both are called `pairs` times in turn.

    The median of the pairwise ratios, with the smallest and the largest, is what to quote: on a
    shared machine a single time says little.
    """
    ratios = []
    for _ in range(pairs):
        times = [_seconds(way) for way in (ours, peer)]
        ratios.append(times[1] / times[0])
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{name}: {statistics.median(ratios):.2f} times ({spread}, {pairs} pairs)", flush=True)


def _seconds(way):
    start = time.perf_counter()
    way()
    return time.perf_counter() - start
