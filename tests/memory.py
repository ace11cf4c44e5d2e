"""How much memory a block takes at its highest moment, whatever came before it."""

import re
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_stays_below(size):
    """Fail if this process, within the block, ever has `size` bytes more than at its start."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest value so far: man proc
    before = peak_bytes()
    yield
    assert peak_bytes() - before < size


def peak_bytes(process="self"):
    """Return the most memory that a process (int, its number) has had so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
