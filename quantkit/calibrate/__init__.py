"""What the weights are multiplied with: activation statistics from speech."""

from __future__ import annotations

from quantkit.calibrate.dataset import dataset_digest, fetch_dataset
from quantkit.calibrate.model import REPORT, calibrate
from quantkit.calibrate.overlap import shared_recordings
from quantkit.calibrate.recordings import find_recordings, recordings_digest
from quantkit.calibrate.settings import CalibrateSettings, DatasetSettings

__all__ = [
    "REPORT",
    "CalibrateSettings",
    "DatasetSettings",
    "calibrate",
    "dataset_digest",
    "fetch_dataset",
    "find_recordings",
    "recordings_digest",
    "shared_recordings",
]
