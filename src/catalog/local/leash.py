"""Become a program that cannot outlive the process that started it.

    python -I -S leash.py DEATH_SIGNAL PARENT UID:GID|- PROGRAM [ARGUMENT ...]

Run as a script, before anything else is imported, so that starting an engine is safe from a process with threads
(a `preexec_fn` is not). On Linux the kernel sends DEATH_SIGNAL to the program when PARENT dies, by SIGKILL too;
elsewhere the program is started unleashed. With UID:GID, which root gives because Postgres refuses to run as root,
the program runs as that user.
"""

import ctypes
import os
import signal
import sys

# <linux/prctl.h> and <linux/capability.h>
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


def _drop(user: int, group: int) -> None:
    """Change to the user, keeping only the right to walk through folders that are closed to others.

    Root's home is closed, and both the engine's programs and its data may lie below it. Opening every folder on
    the way to everybody would be the alternative.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if not libc:
        return
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        # A container may hold only one of the two, or none; without any, the engine says what it cannot reach.
        if libc.capset(header, data) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return


def main(death_signal: str, parent: str, owner: str, *command: str) -> None:
    """Take the leash and become the command."""
    os.umask(0o077)
    if owner != "-":
        user, group = owner.split(":")
        _drop(int(user), int(group))
    # After the change of user, which resets it (prctl(2)).
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            # The parent died before the leash was on.
            sys.exit(128 + signal.SIGKILL)
    os.execvp(command[0], command)  # ruff: ignore[S606] - no shell is wanted.


if __name__ == "__main__":
    main(*sys.argv[1:])
