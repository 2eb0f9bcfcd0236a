"""Read a file that somebody else may have put there: no pipe, no device, and not too large."""

import errno
import os
import stat
from pathlib import Path


def read(path: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes. It never waits for a writer.

    Raises:
        OSError: it cannot be read, is larger, or is a folder, a pipe, a socket or a device.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb", buffering=0, closefd=True) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        content = bytearray()
        while len(content) <= most and (block := file.read(most + 1 - len(content))):
            content += block
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / (1 << 20):g} MiB")
    return bytes(content)
