"""A port to listen on: the wanted one, or the next that is free."""

from __future__ import annotations

import errno
import socket
import sys

from ..errors import EnvironmentProblem

TRIES, LAST_PORT = 100, 65535
TAKEN = (errno.EADDRINUSE, errno.EACCES)


def listen_on(address: str, port: int) -> socket.socket:
    """A listening socket on the first free port from this one on; its name tells which.

    Args:
        address: of this machine, in numbers.
        port: 0 lets the system choose.

    Raises:
        EnvironmentProblem: the address is not of this machine, or none of a hundred ports is free.
    """
    ports = [port, *range(port + 1, min(port + TRIES, LAST_PORT + 1))] if port else [0]
    for number in ports:
        try:
            return _listening(address, number)
        except OSError as error:
            if error.errno not in TAKEN:
                raise EnvironmentProblem(
                    where=f"{address}:{number}",
                    what="This address cannot be listened on.",
                    why=error.strerror or str(error),
                    fix="Use --listen alone, or an address that this machine has.",
                ) from error
    raise EnvironmentProblem(
        where="--port",
        what=f"None of the ports {ports[0]} to {ports[-1]} is free.",
        fix="Give another one, or --port=0 for any.",
    )


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR would let two programs share a port; this keeps it to one.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found
