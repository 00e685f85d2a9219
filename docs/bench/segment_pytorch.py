"""Times the segmentation pass (encoder, middle, mask generator, softmax) in PyTorch eager, channels_last, no_grad, or of its
export, with the timestep folded in, in another engine.

    python segment_pytorch.py --preset small --batch 1 --threads 1 --seconds 5
    python segment_pytorch.py --preset small --engine openvino --models /tmp/models

Random weights; the network is tests/reference/factorized.py, whose tensor names and sizes equal a checkpoint's. The
last line printed is `milliseconds <preset> <batch> <threads> <minimum> <median> <processor>`: milliseconds of
wall clock of the fastest and of the median pass, and mean milliseconds of processor time of a pass.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from factorized import Factorized, ModelConfig  # noqa: E402

PRESETS = {
    "tiny": dict(
        image_size=32,
        base_channels=16,
        channel_multipliers=[1, 2, 3],
        residual_blocks=1,
        attention_resolutions=[8],
        attention_heads=2,
        norm_groups=8,
    ),
    "small": dict(
        image_size=64,
        base_channels=32,
        channel_multipliers=[1, 2, 3, 4],
        residual_blocks=1,
        attention_resolutions=[8],
        attention_heads=2,
        norm_groups=8,
    ),
    "paper-64": dict(image_size=64),
}


def exported(model: Factorized, image: torch.Tensor, timestep: torch.Tensor, arguments: argparse.Namespace):
    """A pass of the exported network in the engine that `arguments` name, in single precision unless they say bf16."""

    class Masks(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.model.masks(image, timestep)

    path = Path(arguments.models) / f"{arguments.preset}-{arguments.batch}.onnx"
    image = image.contiguous()
    if not path.exists():
        with torch.no_grad():
            torch.onnx.export(Masks(), image, str(path), opset_version=18, input_names=["image"])
    values = image.numpy()
    if arguments.engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"image": values})
    import openvino

    how = {
        "INFERENCE_NUM_THREADS": arguments.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if arguments.bf16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", how)
    return lambda: compiled([values])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure, after two passes of warming up")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--engine", choices=["torch", "openvino", "onnxruntime"], default="torch")
    parser.add_argument("--models", default=".", help="the folder that keeps what is exported for other engines")
    parser.add_argument("--profile", action="store_true", help="print the time by operation")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = Factorized(ModelConfig(**PRESETS[arguments.preset])).eval()
    model.decoder = None  # segmentation does not run it
    for parameter in model.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.02)  # no zero weights: they could be faster than trained ones
    model = model.to(arguments.device, memory_format=torch.channels_last)
    side = model.config.image_size
    image = torch.randn(arguments.batch, 3, side, side).to(arguments.device, memory_format=torch.channels_last)
    timestep = torch.full((arguments.batch,), 30, device=arguments.device)
    masks = torch.compile(model.masks) if arguments.compile else model.masks

    if arguments.engine != "torch":
        run = exported(model, image, timestep, arguments)
        masks = lambda *_: run()  # noqa: E731

    def synchronize() -> None:
        if arguments.device != "cpu":
            torch.cuda.synchronize()

    times = []
    with torch.no_grad(), torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=arguments.bf16):
        for _ in range(2):
            masks(image, timestep)
        synchronize()
        if arguments.profile:
            with torch.profiler.profile() as profile:
                masks(image, timestep)
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
        busy = time.process_time()
        end = time.perf_counter() + arguments.seconds
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            masks(image, timestep)
            synchronize()
            times.append((time.perf_counter() - start) * 1e3)
        busy = (time.process_time() - busy) * 1e3 / len(times)
    print(
        "milliseconds", arguments.preset, arguments.batch, arguments.threads,
        f"{min(times):.3f} {statistics.median(times):.3f} {busy:.3f}",
    )


if __name__ == "__main__":
    main()
