from __future__ import annotations

import io
from array import array
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from quantkit.runtime.samples import LARGEST, as_floats, silence_unsound

RAMP = np.linspace(-1, 0.99, 50)


@pytest.mark.parametrize(
    ("dtype", "subtype"), [("int16", "PCM_16"), ("int32", "PCM_32"), ("uint8", "PCM_U8")]
)
def test_integers_are_what_a_wav_of_them_is(dtype: str, subtype: str) -> None:
    """Scaled by libsndfile, which is the reference."""
    file = io.BytesIO()
    soundfile.write(file, RAMP, 16_000, format="WAV", subtype=subtype)
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    samples = np.frombuffer(file.getvalue()[44:], dtype)
    found, replaced = as_floats(samples)
    assert (found.dtype.name, replaced) == ("float32", 0)
    np.testing.assert_array_equal(found, expected)


def test_eight_signed_bits_and_the_other_byte_order() -> None:
    np.testing.assert_array_equal(as_floats(np.array([-128, 64], np.int8))[0], [-1.0, 0.5])
    np.testing.assert_array_equal(as_floats(np.array([-32768, 8192], ">i2"))[0], [-1.0, 0.25])
    np.testing.assert_array_equal(as_floats(np.array([0.5, -2.0], ">f4"))[0], [0.5, -2.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_are_taken_as_they_are(dtype: Any) -> None:
    found, replaced = as_floats(np.array([0.5, -2.0, 0.0], dtype))
    assert (found.dtype.name, replaced) == ("float32", 0)
    np.testing.assert_array_equal(found, [0.5, -2.0, 0.0])
    assert as_floats([0.5, 0])[0].tolist() == [0.5, 0.0]
    assert as_floats([])[0].shape == (0,)
    assert as_floats(array("h", [0, -16384]))[0].tolist() == [0.0, -0.5]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(3, bool), "bool.*astype"),
        (np.zeros(3, complex), r"complex128.*samples\.real"),
        (np.zeros(3, object), "object.*astype"),
        (np.array(["a"]), "<U1.*astype"),
        (b"\0\1", r"bytes.*np\.frombuffer"),
        (bytearray(b"\0\1"), r"bytearray.*np\.frombuffer"),
        (memoryview(b"\0\1"), r"memoryview.*np\.frombuffer"),
        (np.array([b"\0\1"]), r"\|S2.*np\.frombuffer"),
        (np.zeros(3, np.uint16), r"uint16.*np\.int16"),
        ([0, 1, 2], r"int64.*np\.int16"),
        (np.zeros(3, "datetime64[s]"), "datetime64"),
    ],
)
def test_types_that_are_no_sound_are_refused(samples: Any, words: str) -> None:
    with pytest.raises(TypeError, match=rf"samples are {words}"):
        as_floats(samples)


def test_two_channels_are_refused() -> None:
    for shape in ((3, 2), (1, 5), ()):
        with pytest.raises(ValueError, match="one channel"):
            as_floats(np.zeros(shape, np.int16))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_no_sound_is_silence(dtype: Any) -> None:
    given = np.array([0.5, np.nan, np.inf, -np.inf, 1.0, -0.25], dtype)
    before = given.copy()
    found, replaced = as_floats(given)
    assert (found.tolist(), replaced) == ([0.5, 0, 0, 0, 1.0, -0.25], 3)
    np.testing.assert_array_equal(given, before)


@pytest.mark.filterwarnings("error")
def test_what_is_far_beyond_any_recording_is_silence() -> None:
    given = np.array([LARGEST, -LARGEST, 1.001 * LARGEST, -1e20, 1e300])
    found, replaced = as_floats(given)
    assert (found.tolist(), replaced) == ([LARGEST, -LARGEST, 0, 0, 0], 3)


def test_sound_is_not_copied() -> None:
    sound: NDArray[Any] = np.ones((4, 2), np.float32)
    assert silence_unsound(sound)[0] is sound
    mono = np.ones(4, np.float32)
    assert as_floats(mono)[0] is mono
