"""The decoder, against messages that are whole, and against thousands that are not."""

from __future__ import annotations

import json
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.wire import DTYPES, PROTOCOL, Limits, VersionError, WireError, encode

arrays = hnp.arrays(
    st.sampled_from(sorted(DTYPES)).map(np.dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def decode(parts: list) -> None:
    """Must return or raise WireError; anything else is a bug."""
    try:
        m.to_server.decode(parts)
    except WireError as error:
        assert "\n" not in str(error) and len(str(error)) < 400


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), arrays, max_size=4), st.integers(-(2**31), 2**31))
def test_round_trip(sent, index):
    parts = [bytes(part) for part in encode(m.FrameData(job="j", index=index), sent)]
    message, received = m.to_server.decode(parts)
    assert message == m.FrameData(job="j", index=index)
    assert list(received) == list(sent)
    for name, array in sent.items():
        assert received[name].dtype == array.dtype and received[name].shape == array.shape
        assert received[name].tobytes() == array.tobytes()
        assert not received[name].flags.writeable


def test_other_byte_orders_and_layouts_arrive_the_same():
    array = np.arange(24, dtype=">i4").reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    _, received = m.to_server.decode(encode(m.Ping(), {"a": array}))
    np.testing.assert_array_equal(received["a"], array)


def test_contiguous_arrays_are_not_copied():
    array = np.arange(1000, dtype=np.float32)
    parts = encode(m.Ping(), {"a": array})
    _, received = m.to_server.decode(parts)
    array[5] = -1
    assert received["a"][5] == -1


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes(parts):
    decode(parts)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_headers(data):
    """JSON that looks like a header, with anything in it."""
    meta = st.fixed_dictionaries(
        {
            "name": st.text(max_size=3) | json_values,
            "dtype": st.sampled_from([*sorted(DTYPES), "object", "O", "U9", "datetime64[s]", "f4,f4"]) | json_values,
            "shape": st.lists(st.integers(-3, 2**70) | st.sampled_from([2**31, 2**32, 2**63]), max_size=10)
            | json_values,
        }
    )
    body = json_values | st.fixed_dictionaries(
        {"is": st.sampled_from(["hello", "submit", "frame", "x"]), "job": json_values}
    )
    header = {
        "protocol": data.draw(st.just(PROTOCOL) | json_values),
        "body": data.draw(body),
        "arrays": data.draw(st.lists(meta, max_size=4) | json_values),
    }
    buffers = data.draw(st.lists(st.binary(max_size=64), max_size=4))
    decode([json.dumps(header).encode(), *buffers])


SPEC = JobSpec("paint", FrameRange(1, 9), (64, 64), params={"a": 1, "b": 0.5, "c": "x", "d": True}, inputs={"p": "ff"})
WHOLE = [bytes(p) for p in encode(m.Submit(spec=SPEC, have=(1, 2)), {"a": np.ones((3, 4), np.float32)})]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_a_valid_message_with_some_bytes_changed_or_cut(data):
    parts = [bytearray(part) for part in WHOLE]
    for _ in range(data.draw(st.integers(1, 4))):
        part = parts[data.draw(st.integers(0, len(parts) - 1))]
        if part:
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        which = data.draw(st.integers(0, len(parts) - 1))
        del parts[which][data.draw(st.integers(0, len(parts[which]))) :]
    decode([bytes(part) for part in parts])


def test_twenty_thousand_spoilt_messages():
    """The same without shrinking, so that there can be many."""
    rng = random.Random(3)
    for _ in range(20_000):
        parts = [bytearray(part) for part in WHOLE]
        for _ in range(rng.randrange(1, 5)):
            part = parts[rng.randrange(len(parts))]
            at = rng.randrange(len(part) + 1)
            match rng.randrange(4):
                case 0:
                    part[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del part[at:]
                case 2:
                    part[at:at] = rng.choice(
                        [b"9" * 30, b"-", b"[", b"{", b'"', b"null", b"\\u0000", b"\xff", b"1e999"]
                    )
                case 3:
                    del part[at : at + rng.randrange(9)]
        if rng.random() < 0.1:
            del parts[rng.randrange(len(parts))]
        decode([bytes(part) for part in parts])


# ruff: noqa: E501
HOSTILE = {
    "empty": [],
    "deep": [b'{"protocol":1,"body":' + b"[" * 200_000],
    "deep and closed": [b'{"protocol":1,"body":' + b"[" * 200_000 + b"]" * 200_000 + b"}"],
    "huge shape": [b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[99999999999]}]}', b"x"],
    "overflowing shape": [
        b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"float64","shape":[4294967296,4294967296]}]}',
        b"",
    ],
    "empty but vast": [
        b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[0,99999999999999999999]}]}',
        b"",
    ],
    "empty times vast": [
        b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[0,9223372036854775807,9223372036854775807]}]}',
        b"",
    ],
    "negative shape": [
        b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[-1,-1]}]}',
        b"x",
    ],
    "object": [b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"object","shape":[1]}]}', b"8bytes!!"],
    "same name twice": [
        b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[1]},'
        b'{"name":"a","dtype":"uint8","shape":[1]}]}',
        b"x",
        b"y",
    ],
    "buffer without meta": [b'{"protocol":1,"body":{"is":"ping"}}', b"x"],
    "meta without buffer": [b'{"protocol":1,"body":{"is":"ping"},"arrays":[{"name":"a","dtype":"uint8","shape":[1]}]}'],
    "backwards range": [b'{"protocol":1,"body":{"is":"submit","spec":{"method":"a","frames":{"start":9,"end":1},"size":[1,1]}}}'],
    "long number": [b'{"protocol":1,"body":{"is":"frame","job":"a","index":' + b"9" * 100_000 + b"}}"],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name):
    tracemalloc.start()
    with pytest.raises(WireError):
        m.to_server.decode(HOSTILE[name])
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_limits():
    codec = type(m.to_server)(m.ToServer, Limits(header_bytes=200, arrays=2, part_bytes=100, message_bytes=150))
    small = np.zeros(80, np.uint8)
    codec.decode(encode(m.Ping(), {"a": small}))
    for too_much in ({"a": np.zeros(101, np.uint8)}, {"a": small, "b": small}, dict.fromkeys("abc", small[:1])):
        with pytest.raises(WireError):
            codec.decode(encode(m.Ping(), too_much))
    with pytest.raises(WireError, match="header"):
        codec.decode(encode(m.Hello(owner="x" * 300, software="")))


def test_another_version_is_told_before_the_body_is_read():
    with pytest.raises(VersionError, match=r"protocol 7 \(version 3.1\)"):
        m.to_server.decode([b'{"protocol":7,"body":{"unheard":"of","software":"3.1"},"new":1}'])


def test_what_does_not_travel():
    for array in (np.array([object()]), np.array(["text"]), np.array([1 + 2j]), np.zeros((1,) * 9)):
        with pytest.raises(WireError):
            encode(m.Ping(), {"a": array})
