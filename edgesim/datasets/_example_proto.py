"""Reading a tf.train.Example as TensorFlow serialises it, as far as a field of bytes goes.

    Example {1: Features {1: {1: name, 2: Feature {1: BytesList {1: value, ...}}}, ...}}

On the way to such a value every field of the protocol buffer's wire format is a key, a length and so many
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

_FEATURES, _ENTRY, _NAME, _FEATURE, _BYTES_LIST, _VALUE = 1, 1, 1, 2, 1, 1
_WITH_LENGTH = 2  # wire type


def bytes_feature(example: bytes, name: str) -> bytes:
    """The first value of the feature of this name.

    Raises:
        ValueError: there is no such feature, or this is no Example.
    """
    for entry in _inner(_inner_one(example, _FEATURES), _ENTRY):
        if _inner_one(entry, _NAME) == name.encode():
            return _inner_one(_inner_one(_inner_one(entry, _FEATURE), _BYTES_LIST), _VALUE)
    raise ValueError(f'has no feature "{name}"')


def _inner_one(message: bytes, number: int) -> bytes:
    content = next(_inner(message, number), None)
    if content is None:
        raise ValueError(f"has no field {number} where one is needed")
    return content


def _inner(message: bytes, number: int) -> Iterator[bytes]:
    """Contents of the fields of this number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size, at = _varint(message, at)
        if key & 7 != _WITH_LENGTH or at + size > len(message):
            raise ValueError("is no tf.train.Example")
        if key >> 3 == number:
            yield message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that stands there, seven bits a byte, the lowest first; and where the next byte is."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("is cut off")
