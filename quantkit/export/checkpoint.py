"""Open a `.nemo` file without trusting it.

A `.nemo` is a tar of a configuration, a tokenizer and a pickled state dict. Only plain files that
stay inside the archive are unpacked, and the pickle is read with PyTorch's weights-only loader.
"""

from __future__ import annotations

import io
import logging
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import torch
from nemo.collections.asr.models import ASRModel
from nemo.core.connectors.save_restore_connector import SaveRestoreConnector
from nemo.utils import logging as nemo_logging

from quantkit.core.errors import InputError

CONFIGURATION = "model_config.yaml"
WEIGHTS = "model_weights.ckpt"


def load_checkpoint(path: Path) -> ASRModel:
    """Restore a NeMo ASR model on the CPU, in evaluation mode, from a `.nemo` file.

    Raises:
        InputError: the file is missing, truncated, not a `.nemo` file, holds entries that leave
            the archive, or holds a pickle with anything but tensors.
    """
    with unpacked(path) as directory, nemo_errors_only():
        connector = SaveRestoreConnector()
        connector.model_extracted_dir = str(directory)
        model = ASRModel.restore_from(
            str(path), map_location=torch.device("cpu"), save_restore_connector=connector
        )
    model.eval()
    model.freeze()
    return model


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack a `.nemo` file into a temporary directory, checked, and yield the directory."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a .nemo checkpoint is needed")
    with tempfile.TemporaryDirectory(prefix="quantkit-nemo-") as name:
        directory = Path(name)
        try:
            with tarfile.open(path) as archive:
                members = [_checked(path, member) for member in archive.getmembers()]
                archive.extractall(directory, members, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(
                f"{path}: not a complete .nemo file ({error}); a .nemo is a tar archive of "
                f"{path.stat().st_size} bytes here: download or copy it again"
            ) from error
        for needed in (CONFIGURATION, WEIGHTS):
            if not (directory / needed).is_file():
                found = ", ".join(sorted(member.name for member in members)) or "nothing"
                raise InputError(f"{path}: holds no {needed} (found: {found}); not a NeMo model")
        _check_weights(path, directory / WEIGHTS)
        yield directory


def _checked(path: Path, member: tarfile.TarInfo) -> tarfile.TarInfo:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise InputError(f"{path}: entry {member.name!r} leaves the archive; the file is refused")
    if not (member.isfile() or member.isdir()):
        raise InputError(
            f"{path}: entry {member.name!r} is neither a file nor a directory; the file is refused"
        )
    return member


def _check_weights(path: Path, weights: Path) -> None:
    try:
        state = torch.load(weights, map_location="meta", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: {WEIGHTS} holds more than tensors and is refused ({reason})"
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, io.UnsupportedOperation) as error:
        raise InputError(f"{path}: {WEIGHTS} is damaged ({error}); download it again") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise InputError(f"{path}: {WEIGHTS} is not a state dict of tensors")


@contextmanager
def nemo_errors_only() -> Iterator[None]:
    """NeMo logs the training set-up of every model it restores, which is noise here."""
    level = nemo_logging.get_verbosity()
    nemo_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        nemo_logging.set_verbosity(level)
