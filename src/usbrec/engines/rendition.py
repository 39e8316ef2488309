"""Renditions: the form in which a GGUF file is handed to the embedded engine.

OpenVINO GenAI's GGUF reader keeps a block's scale but rounds its minimum to a whole 4-bit zero point.  So types with a minimum (Q4_1, Q4_K)
lose much: for SmolLM2-135M Q4_1 the log-probabilities of the five best first tokens were off by 0.45 in the mean (1.6 at most) against
float32, those of the same weights as Q8_0 by 0.04; and Q8_0 ran as fast.  Other types it cannot read at all.  So whatever is not read
faithfully is rewritten once as Q8_0, tokenizer and metadata untouched, and kept in the model cache under the file's digest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from usbrec import models
from usbrec.gguf_header import Header

FAITHFUL = frozenset({"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q6_K"})
"""Tensor types that the reader takes over without a loss that shows."""
_NAME = "model.gguf"


def rendition(gguf: Path, header: Header, digest: str, alive: Callable[[], None]) -> Path:
    """The file itself where it is read faithfully, else its Q8_0 rendition in the cache, made at the first request.

    Args:
        header: the file's own.
        digest: SHA-256 of the file.
        alive: called for each tensor that is rewritten.

    Raises:
        StorageError: the rendition cannot be stored.
    """
    if header.types <= FAITHFUL:
        return gguf
    return models.kept("renditions", digest, lambda folder: _rewrite(gguf, folder / _NAME, alive)) / _NAME


def _rewrite(gguf: Path, target: Path, alive: Callable[[], None]) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, quants

    source: Any = GGUFReader(gguf)
    writer = GGUFWriter(target, source.fields["general.architecture"].contents(), use_temp_file=True)
    for key, entry in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = int(LlamaFileType.MOSTLY_Q8_0) if key == "general.file_type" else entry.contents()
        kind = entry.types[0]
        writer.add_key_value(key, value, kind, sub_type=entry.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in source.tensors:
        alive()
        if tensor.tensor_type.name in FAITHFUL:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, quants.quantize(values, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
