"""A core that the measured program has to itself.

Whatever else runs on a machine runs on any of its cores: a daemon, a terminal, a thread of the kernel
(kdamond's turns of 1 to 3 ms, some two a second, make a prober's p99.9). `clear` lets no thread that may
run elsewhere run there, until this program ends. Threads that the kernel binds to a core stay.
"""
import atexit
import os
import pathlib
import signal
import sys

ENDINGS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def _threads():
    """(process, thread) of every thread."""
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield from ((int(process.name), int(thread)) for thread in
                            os.listdir(process / "task"))
            except OSError:
                pass  # it ended


def _parent(process):
    try:
        # proc_pid_stat(5): the name in brackets may hold anything; state and parent follow it.
        text = pathlib.Path(f"/proc/{process}/stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _allow(thread, cores):
    try:
        os.sched_setaffinity(thread, cores)
        return True
    except OSError:  # it ended, is bound by the kernel, or is another user's
        return False


def _allowed(thread):
    try:
        return os.sched_getaffinity(thread)
    except OSError:
        return set()


def clear(core):
    """Moves every other thread away from `core`. At this program's end, by SIGTERM or SIGHUP too, those
    threads and what they started meanwhile may run where they could before. One program at a time:
    the first to end gives the core back."""
    before = {}  # thread: the cores it could run on

    def move():
        for _, thread in _threads():
            cores = _allowed(thread)
            if core in cores and len(cores) > 1 and _allow(thread, cores - {core}):
                before.setdefault(thread, cores)

    def put_back():
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)  # a second one would leave threads behind
        for process, thread in list(_threads()):
            heir_of = thread
            if heir_of not in before:
                heir_of = process
            while heir_of and heir_of not in before:
                heir_of = _parent(heir_of)
            if heir_of and _allowed(thread) == before[heir_of] - {core}:
                _allow(thread, before[heir_of])

    if os.cpu_count() < 2:
        return
    atexit.register(put_back)
    for number in ENDINGS[1:]:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    move()
    move()  # what was started by those that had not been moved
