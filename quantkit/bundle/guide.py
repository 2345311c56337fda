"""How to run a bundle, in each runtime that it has a layout for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from quantkit.runtime.settings import StreamingSettings

Layout = Literal["native", "genai", "sherpa"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

NATIVE = ("```", "pip install quantkit", "quantkit transcribe . speech.wav", "```")


def guide(layouts: Sequence[str], settings: StreamingSettings) -> list[str]:
    """Markdown lines: a section for each layout. `samples` are float32 mono at the model's rate."""
    chunk = settings.chunk_frames * settings.mel.hop_length
    parts = {"native": NATIVE, "genai": _genai(chunk), "sherpa": _sherpa(settings)}
    lines: list[str] = []
    for layout in layouts:
        lines += [f"## {_TITLES[layout]}", "", *parts[layout], ""]
    return lines[:-1]


_TITLES = {"native": "quantkit", "genai": "onnxruntime-genai", "sherpa": "sherpa-onnx"}


def _genai(chunk: int) -> Sequence[str]:
    return (
        "`pip install onnxruntime-genai numpy`; one silent chunk ends the stream.",
        "",
        "```python",
        "import numpy as np",
        "import onnxruntime_genai as og",
        "",
        'model = og.Model(".")',
        "processor, words = og.StreamingProcessor(model), og.Tokenizer(model).create_stream()",
        "generator = og.Generator(model, og.GeneratorParams(model))",
        f"samples = np.pad(samples, (0, {2 * chunk} - len(samples) % {chunk}))",
        f"for piece in samples.reshape(-1, {chunk}):",
        "    generator.set_inputs(processor.process(piece))",
        "    while not generator.is_done():",
        "        generator.generate_next_token()",
        "        for token in generator.get_next_tokens():",
        '            print(words.decode(token), end="", flush=True)',
        "```",
    )


def _sherpa(settings: StreamingSettings) -> Sequence[str]:
    rate, hop = settings.sample_rate, settings.mel.hop_length
    tail = (settings.chunk_frames + 10) * hop
    return (
        f"`pip install sherpa-onnx numpy`; {hop // 2} samples of silence before the audio put "
        "its frames where the model expects them, a silent chunk ends the stream.",
        "",
        "```python",
        "import numpy as np",
        "import sherpa_onnx",
        "",
        "recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(",
        '    tokens="tokens.txt",',
        '    encoder="encoder.sherpa.onnx",',
        '    decoder="decoder.sherpa.onnx",',
        '    joiner="joiner.sherpa.onnx",',
        ")",
        "stream = recognizer.create_stream()",
        f"stream.accept_waveform({rate}, np.pad(samples, ({hop // 2}, {tail})))",
        "stream.input_finished()",
        "while recognizer.is_ready(stream):",
        "    recognizer.decode_stream(stream)",
        "print(recognizer.get_result(stream))",
        "```",
    )
