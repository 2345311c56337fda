"""NeMo checkpoints: loaded safely, exported, run as the reference. The only room with PyTorch."""

import logging

# NeMo's telemetry client announces at import that it is switched off.
logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
