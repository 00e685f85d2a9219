"""Times a training pass, forward and backward, in PyTorch eager, channels_last.

    python training_pytorch.py --preset tiny --masks uniform --regions 3 --batch 16 --threads 1 --seconds 5

Random weights; the network is tests/reference/factorized.py. `--masks uniform` is the step whose masks are 1/K
everywhere: all branches are equal, so one is computed, on 1/K of the features, and no mask generator. The last line
printed is `milliseconds <preset> <masks> <regions> <batch> <threads> <minimum> <median> <processor>`: milliseconds of
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
from segment_pytorch import PRESETS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--masks", choices=["uniform", "learned"], default="uniform")
    parser.add_argument("--regions", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure, after two passes of warming up")
    parser.add_argument("--profile", action="store_true", help="print the time by operation")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = Factorized(ModelConfig(**PRESETS[arguments.preset], regions=arguments.regions))
    for parameter in model.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.02)  # no zero weights: they could be faster than trained ones
    model = model.to(memory_format=torch.channels_last)
    side = model.config.image_size
    image = torch.randn(arguments.batch, 3, side, side).to(memory_format=torch.channels_last)
    noise = torch.randn(arguments.batch, 3, side, side).to(memory_format=torch.channels_last)
    timestep = torch.arange(arguments.batch) * 61 % 1000 + 1

    def step() -> None:
        model.zero_grad(set_to_none=True)
        if arguments.masks == "uniform":
            embedding = model.embed(timestep, None)
            h_mid, h_enc = model.encode(image, embedding)
            predicted = model.decoder(h_mid, [skip / arguments.regions for skip in h_enc], embedding)
        else:
            predicted, _ = model(image, timestep)
        (predicted - noise).square().mean().backward()

    for _ in range(2):
        step()
    if arguments.profile:
        with torch.profiler.profile() as profile:
            step()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
    times = []
    busy = time.process_time()
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    busy = (time.process_time() - busy) * 1e3 / len(times)
    print(
        "milliseconds", arguments.preset, arguments.masks, arguments.regions, arguments.batch, arguments.threads,
        f"{min(times):.3f} {statistics.median(times):.3f} {busy:.3f}",
    )


if __name__ == "__main__":
    main()
