"""The child's side: no environment, little memory, limited time. One JSON line in, one out."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Callable

MEMORY_BYTES = 768 << 20


def serve(answer: Callable[[bytes], bytes], seconds: float) -> None:
    """Answer requests until the input ends. One that takes more CPU time than `seconds` ends the process (SIGPROF)."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        found = answer(line)
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write(found + b"\n")
        out.flush()
