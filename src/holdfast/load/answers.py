"""One HTTP/1.1 answer, read as its bytes arrive; head and body are bounded."""

import re
from collections.abc import Callable

MAX_HEAD = 64 << 10
MAX_BODY = 1 << 20

_START = b"HTTP/1."
_STATUS = re.compile(rb"http/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?\r\n")
_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)")
_MOST_KNOWN = 1_000  # heads that are remembered: most servers send a few, apart from the date
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?")


_known: dict[bytes, tuple[int, int, bool]] = {}  # head: code, length of the body, keep


def whole(data: bytes) -> tuple[int, bytes, bool] | None:
    """Code, body and keep, if this is all of an answer with a head that was seen before.

    Most answers are, and need no `Answer`.
    """
    end = data.find(b"\r\n\r\n") + 4
    known = _known.get(data[:end])
    if known is None or len(data) != end + known[1]:
        return None
    return known[0], data[end:], known[2]


class Answer:
    """Feed it what arrives. ValueError: the bytes are no answer that HTTP/1.1 allows here."""

    def __init__(self) -> None:
        self.code = 0
        self.body = b""
        self.keep = True  # may the connection carry another request?
        self.complete = False
        self._data = bytearray()
        self._step: Callable[[], bool] = self._head
        self._left = 0  # bytes of the body, or of the chunk, that are still to come
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bool:
        """Take more bytes; True once the answer is complete."""
        self._data += data
        while not self.complete and self._step():
            pass
        if self.complete and self._data:
            self.keep = False  # more than was asked for: who knows whose answer that is
        return self.complete

    def end(self) -> bool:
        """The connection was closed: True when that is how this answer ends."""
        if self._step == self._until_closed:
            self._finish(bytes(self._data))
        return self.complete

    def _finish(self, body: bytes) -> bool:
        self.body = body
        self.complete = True
        self._data.clear()
        return True

    def _head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD:
            if len(self._data) > MAX_HEAD or not self._data.startswith(_START[: len(self._data)]):
                raise ValueError("not the head of an HTTP/1.1 answer")
            return False
        exact = bytes(self._data[: end + 4])
        head = exact[:-2].lower()
        del self._data[: end + 4]
        status = _STATUS.match(head)
        if status is None:
            raise ValueError("not the status line of an HTTP/1.1 answer")
        code = int(status[2])
        if code < 200:
            if code == 101:
                raise ValueError("the server changed to another protocol")
            return True  # an interim answer: the real one follows
        self.code = code
        self._body_follows(status[1] == b"1", _FIELD.findall(head))
        if self._step == self._fixed:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[exact] = code, self._left, self.keep
        return True

    def _body_follows(self, persistent: bool, fields: list[tuple[bytes, bytes]]) -> None:
        lengths = {value.strip() for name, value in fields if name == b"content-length"}
        codings = b",".join(value for name, value in fields if name == b"transfer-encoding")
        connection = b",".join(value for name, value in fields if name == b"connection")
        self.keep = b"close" not in connection and (persistent or b"keep-alive" in connection)
        if self.code in (204, 304):
            self._finish(b"")
        elif codings:
            if codings.strip() != b"chunked":
                raise ValueError(f"unknown transfer encoding {codings!r}")
            self._step = self._chunk_size
        elif lengths:
            length = lengths.pop()
            if lengths or not length.isdigit() or len(length) > 12:
                raise ValueError("not one plain content length")
            self._left = self._bounded(int(length))
            self._step = self._fixed
        else:
            self.keep = False
            self._step = self._until_closed

    def _bounded(self, size: int) -> int:
        if size > MAX_BODY:
            raise ValueError(f"a body of more than {MAX_BODY} bytes")
        return size

    def _fixed(self) -> bool:
        if len(self._data) < self._left:
            return False
        body = bytes(self._data[: self._left])
        rest = self._data[self._left :]
        self._finish(body)
        self._data = rest
        return True

    def _until_closed(self) -> bool:
        self._bounded(len(self._data))
        return False

    def _line(self) -> bytes | None:
        end = self._data.find(b"\r\n")
        if end < 0:
            if len(self._data) > MAX_HEAD:
                raise ValueError("a line without end")
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 2]
        return line

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise ValueError("not the size of a chunk")
        self._left = int(match[1], 16)
        self._size = self._bounded(self._size + self._left)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        if len(self._data) < self._left + 2:
            return False
        if self._data[self._left : self._left + 2] != b"\r\n":
            raise ValueError("a chunk longer than its size")
        self._chunks.append(bytes(self._data[: self._left]))
        del self._data[: self._left + 2]
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            self._size = self._bounded(self._size + len(line))
            return True
        rest = self._data[:]
        self._finish(b"".join(self._chunks))
        self._data = rest
        return True
