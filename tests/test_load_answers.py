"""Reading HTTP answers: whole, in pieces, and such that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.load.answers import MAX_BODY, MAX_HEAD, Answer

FIXED = b'HTTP/1.1 201 Created\r\nContent-Length: 7\r\nX-A: b\r\n\r\n{"a":1}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b'3;name=x\r\n{"a\r\n4\r\n":1}\r\n0\r\nX-Trailer: 1\r\n\r\n'
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + FIXED


@pytest.mark.parametrize(("answer", "code"), [(FIXED, 201), (CHUNKED, 200), (INTERIM, 201)])
@given(data=st.data())
def test_it_does_not_matter_how_the_bytes_arrive(
    answer: bytes, code: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=8)))
    one = Answer()
    for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        assert not one.complete
        one.feed(answer[begin:end])
    assert (one.complete, one.code, one.body, one.keep) == (True, code, b'{"a":1}', True)


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
    ],
)
def test_whether_the_connection_carries_another_request(head: bytes, keep: bool) -> None:
    answer = Answer()
    assert answer.feed(head)
    assert answer.keep is keep


def test_a_body_without_length_ends_with_the_connection() -> None:
    answer = Answer()
    assert not answer.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert answer.end()
    assert (answer.body, answer.keep) == (b"hello", False)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", FIXED[:-1], CHUNKED[:-1]])
def test_a_connection_that_closes_too_early_ends_no_answer(part: bytes) -> None:
    answer = Answer()
    assert not answer.feed(part)
    assert not answer.end()


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_BODY + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * (MAX_HEAD + 1),
    ],
)
def test_what_is_no_answer_is_refused(garbage: bytes) -> None:
    answer = Answer()
    with pytest.raises(ValueError, match=r"^[a-z]"):
        answer.feed(garbage)
    assert not answer.complete


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for head in (b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        answer = Answer()
        try:
            answer.feed(head + data)
            answer.end()
        except ValueError:
            continue
