"""Runs one program for a watcher, and ends it with all that it has started when the sidecar is gone, however that went.

A program of its own, without anything of ours: the command line is the program's. Standard input is a pipe to the
sidecar, which ends with it. The exit code is the program's (128 and a signal's number), 127 when it can't be started.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

_TERM_SECONDS = 2.0


def main() -> None:
    """Run it."""
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)

    def end() -> None:
        while os.read(0, 4096):
            pass
        _signal(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + _TERM_SECONDS
        while time.monotonic() < deadline and _signal(child.pid, 0):
            time.sleep(0.05)
        _signal(child.pid, signal.SIGKILL)
        os._exit(137)

    signal.signal(signal.SIGTERM, lambda *_: (_signal(child.pid, signal.SIGKILL), os._exit(143)))
    threading.Thread(target=end, daemon=True).start()
    code = child.wait()
    _signal(child.pid, signal.SIGKILL)  # what it has left in the background
    os._exit(code if code >= 0 else 128 - code)


def _signal(group: int, number: int) -> bool:
    """Whether there is somebody in the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main()
