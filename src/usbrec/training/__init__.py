"""Training and export (docs/method.md, SFT and SimPO): LoRA by SFT or SimPO, merged into a file that engines load.

Importing this package imports no torch: heavy modules are loaded when a function needs them.
"""

from usbrec.training.export import merge_gguf, merge_safetensors
from usbrec.training.rows import PairRow, SftRow
from usbrec.training.settings import ExportConfig, LoraSettings, SftConfig, SimpoConfig, warn_settings
from usbrec.training.trainer import TrainResult, train, train_sft, train_simpo

__all__ = [
    "ExportConfig",
    "LoraSettings",
    "PairRow",
    "SftConfig",
    "SftRow",
    "SimpoConfig",
    "TrainResult",
    "merge_gguf",
    "merge_safetensors",
    "train",
    "train_sft",
    "train_simpo",
    "warn_settings",
]
