"""The server of benchmarks/load.py: a process of its own that answers each request with 27 bytes.

It serves a connection the moment it accepts it, so that after a freeze who came first is answered
first: what it adds to the truth is then the time for one answer, not for all that wait.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

HOST = "127.11.0.20"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"balance_cents": 10000000}'


def serve() -> None:
    """Serve until killed."""
    listener = socket.create_server((HOST, 0), backlog=4096)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    print(listener.getsockname()[1], flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    client, _ = listener.accept()
                    client.setblocking(False)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                    answer(clients, client.fileno())
            else:
                answer(clients, fd)


def answer(clients: dict[int, socket.socket], fd: int) -> None:
    """Answer what has arrived: whole requests, since customers write each with one call."""
    try:
        data = clients[fd].recv(1 << 16)
        if data:
            clients[fd].send(ANSWER * data.count(b"\r\n\r\n"))
            return
    except BlockingIOError:
        return
    except ConnectionError:
        pass
    clients.pop(fd).close()


@contextlib.contextmanager
def serving() -> Iterator[tuple[int, str]]:
    """The server's process id and URL; it runs on the last core."""
    command = [sys.executable, "-m", "benchmarks.load_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        try:
            yield process.pid, f"http://{HOST}:{port}"
        finally:
            process.kill()


if __name__ == "__main__":
    serve()
