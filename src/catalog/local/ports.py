"""Free ports on the loopback interface."""

import secrets
import socket
from collections.abc import Iterable, Sequence

from catalog.errors import Unavailable

LOOPBACK = "127.0.0.1"


class NoPort(Unavailable):
    """No port is free."""


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as listener:
        # As servers do: a connection of the last run that the kernel still remembers does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose(taken: Iterable[int] = (), among: Sequence[int] = ()) -> int:
    """Return a free port that is not in `taken`: one of `among`, or any when that is empty."""
    taken = set(taken)
    if among:
        # In any order: two stacks that start at once would otherwise choose the same.
        for port in secrets.SystemRandom().sample(among, len(among)):
            if port not in taken and is_free(port):
                return port
        raise NoPort(f"every port from {min(among)} to {max(among)} is taken; stop what listens there")
    while True:
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 0))
            port = int(listener.getsockname()[1])
        if port not in taken:
            return port
