import pickle

import pytest

from quantkit.core.errors import GateError, InputError, MissingExtraError, SettingError


@pytest.mark.parametrize(
    "error",
    [
        InputError("a.wav: is empty"),
        GateError("gate missed"),
        SettingError("model.chunk_ms", "found 100"),
        MissingExtraError("distributed", "cluster"),
    ],
)
def test_errors_reach_other_processes_whole(error) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
    assert getattr(again, "key", None) == getattr(error, "key", None)
