"""Writes the parity fixtures that the Rust implementation is compared with.

    python make_fixtures.py            # writes fixtures/*.safetensors and fixtures/schedule.json

Each safetensors file is a checkpoint (random weights under their checkpoint names, the configuration in the header)
with the inputs and the reference's outputs beside the weights, under the prefix `fixture.`. All weights are random,
also those that a fresh model starts at zero, so that every path takes part in the outputs. Needs torch, numpy,
safetensors; no network, no data, a few seconds.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from factorized import Factorized, ModelConfig, to_checkpoint

DIRECTORY = Path(__file__).parent / "fixtures"
SMALL = dict(residual_blocks=1, attention_heads=2, norm_groups=4)


def randomise(model: Factorized, generator: torch.Generator) -> None:
    """Fan-in scaled normal weights; normalisation scales around one; masks and noise of the size of one."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith(".weight") and parameter.dim() == 1:
            values = 1.0 + 0.2 * noise
        elif parameter.dim() == 1:
            values = 0.1 * noise
        elif name == "class_embedding.weight":
            values = noise
        else:
            values = noise / parameter[0].numel() ** 0.5
        if name == "mask_generator.conv_out.weight":
            values = 2.0 * values  # masks that differ clearly from 1/K
        parameter.data.copy_(values)


def write_network(
    name: str, config: ModelConfig, size: tuple[int, int], timesteps: list[int], labels: list[int] | None
) -> None:
    """`size` is (height, width) of the input: not square in most cases, so that a swap of the two is seen."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    model = Factorized(config).eval()
    randomise(model, generator)
    x_t = torch.randn(len(timesteps), 3, *size, generator=generator)
    timestep = torch.tensor(timesteps)
    label = None if labels is None else torch.tensor(labels)
    # The outputs are computed in float64 from the float32 weights, so that their own rounding plays no part.
    with torch.no_grad():
        tensors = to_checkpoint(model)
        noise, masks = model.double()(x_t.double(), timestep, label)
    tensors |= {
        "fixture.x_t": x_t,
        "fixture.timestep": timestep.int(),
        "fixture.noise": noise.float(),
        "fixture.masks": masks.float(),
    }
    if label is not None:
        tensors["fixture.class"] = label.int()
    metadata = {"factorseg.format": "1", "factorseg.config": config.to_json()}
    path = DIRECTORY / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
    print(
        f"{path.name}: {path.stat().st_size} bytes, noise std {noise.std():.3f},"
        f" masks {masks.min():.3f}..{masks.max():.3f}, std {masks.std():.3f}"
    )


def write_schedule() -> None:
    """alpha_bar of the linear schedule at several t, and reverse steps (Eq. 9 and 10), in numpy float64."""
    timesteps, beta_start, beta_end = 1000, 1e-4, 0.02
    beta = np.concatenate([[0.0], np.linspace(beta_start, beta_end, timesteps, dtype=np.float64)])
    alpha = 1.0 - beta
    alpha_bar = np.cumprod(alpha)
    table = [0, 1, 2, 10, 30, 50, 100, 250, 500, 750, 999, 1000]
    random = np.random.default_rng(0)
    forward, reverse = [], []
    for t in [1, 2, 30, 500, 1000]:
        x_0, noise = random.uniform(-1.0, 1.0, 6), random.standard_normal(6)
        x_t = np.sqrt(alpha_bar[t]) * x_0 + np.sqrt(1.0 - alpha_bar[t]) * noise
        forward.append({"t": t, "x_0": x_0.tolist(), "noise": noise.tolist(), "x_t": x_t.tolist()})
        predicted, z = random.standard_normal(6), random.standard_normal(6)
        sigma = np.sqrt(beta[t]) if t > 1 else 0.0
        mean = (x_t - (1.0 - alpha[t]) / np.sqrt(1.0 - alpha_bar[t]) * predicted) / np.sqrt(alpha[t])
        reverse.append(
            {
                "t": t,
                "x_t": x_t.tolist(),
                "noise": predicted.tolist(),
                "z": z.tolist(),
                "x_previous": (mean + sigma * z).tolist(),
            }
        )
    content = {
        "schedule": {"timesteps": timesteps, "beta_start": beta_start, "beta_end": beta_end},
        "alpha_bar": [{"t": t, "value": alpha_bar[t]} for t in table],
        "add_noise": forward,
        "ddpm_step": reverse,
    }
    (DIRECTORY / "schedule.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    levels_64 = dict(image_size=64, channel_multipliers=[1, 2], attention_resolutions=[32])
    levels_128 = dict(image_size=128, channel_multipliers=[1, 2, 2], attention_resolutions=[32])
    write_network(
        "unconditional_64",
        ModelConfig(base_channels=8, regions=3, classes=0, **levels_64, **SMALL),
        (64, 56),
        [1, 700],
        None,
    )
    # The second image takes the row "no class".
    write_network(
        "conditional_64",
        ModelConfig(base_channels=8, regions=3, classes=5, **levels_64, **SMALL),
        (56, 64),
        [30, 1000],
        [3, 5],
    )
    write_network(
        "single_region_64",
        ModelConfig(base_channels=8, regions=1, classes=0, **levels_64, **SMALL),
        (64, 64),
        [30, 400],
        None,
    )
    write_network(
        "conditional_128",
        ModelConfig(base_channels=4, regions=3, classes=5, **levels_128, **SMALL),
        (128, 96),
        [30],
        [1],
    )
    # Residual blocks that change the resolution, and heads of 4 channels: 2 at one level, 3 at another.
    write_network(
        "residual_64",
        ModelConfig(
            image_size=64,
            base_channels=4,
            channel_multipliers=[1, 2, 3],
            attention_resolutions=[32],
            regions=3,
            classes=5,
            resblock_updown=True,
            **SMALL | dict(attention_heads=3, attention_head_channels=4),
        ),
        (64, 40),
        [30],
        [2],
    )
    write_schedule()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
