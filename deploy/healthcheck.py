"""A container's health: exit code 0 if the server here would answer a request.

Enters: CRUMB_PORT, or CRUMB_UDS if it listens on a Unix socket. Leaves: an exit code, and why not on stderr. Plain
http.client, because urllib would ask a proxy that HTTP_PROXY names for our own address.
"""

import http.client
import os
import socket
import sys

SECONDS = 4.0


def status() -> int:
    """What /health/ready says; 503 while loading or draining.

    Raises:
        OSError, http.client.HTTPException: nobody answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("CRUMB_PORT") or 8000), timeout=SECONDS)
    if path := os.environ.get("CRUMB_UDS"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(SECONDS)
        connection.sock.connect(path)
    connection.request("GET", "/health/ready")
    return connection.getresponse().status


if __name__ == "__main__":
    try:
        found = status()
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"no answer: {error}")
    sys.exit(None if found == 200 else f"not ready: {found}")
