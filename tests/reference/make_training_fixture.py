"""Writes the fixtures that the training engine's losses and gradients are compared with.

    python make_training_fixture.py            # writes fixtures/training_*.safetensors

Each file is a checkpoint with random weights, a batch under the prefix `fixture.`, and for each way of making masks the
loss, the mean squared error of the predicted noise (Eq. 8), and its gradient by every parameter: `softmax.NAME` for the
softmax of the mask generator's logits divided by TEMPERATURE, `uniform.NAME` for masks of 1/K. Computed in float64 from
the float32 weights. Needs torch, numpy, safetensors; no network, no data, a few seconds.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from factorized import Factorized, ModelConfig, _parameter_names, to_checkpoint
from make_fixtures import randomise

DIRECTORY = Path(__file__).parent / "fixtures"
TEMPERATURE = 0.7


def gradients(model: Factorized) -> dict[str, torch.Tensor]:
    """By checkpoint name and in the checkpoint's layout; zero for a parameter that took no part."""
    parameters = dict(model.named_parameters())
    result = {}
    for name, (target, transposed) in _parameter_names(model).items():
        parameter = parameters[name]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        result[target] = (gradient.T if transposed else gradient).float().contiguous().clone()
    return result


def write(
    name: str,
    config: ModelConfig,
    size: tuple[int, int],
    timesteps: list[int],
    labels: list[int] | None,
    kinds: list[str],
) -> None:
    generator = torch.Generator().manual_seed(sum(name.encode()))
    model = Factorized(config)
    randomise(model, generator)
    tensors = to_checkpoint(model)
    model = model.double()
    batch = len(timesteps)
    x_t = torch.randn(batch, 3, *size, generator=generator)
    noise = torch.randn(batch, 3, *size, generator=generator)
    timestep = torch.tensor(timesteps)
    label = None if labels is None else torch.tensor(labels)
    tensors |= {
        "fixture.x_t": x_t,
        "fixture.noise": noise,
        "fixture.timestep": timestep.float(),
    }
    if label is not None:
        tensors["fixture.class"] = label.int()
    for kind in kinds:
        model.zero_grad(set_to_none=True)
        embedding = model.embed(timestep, label)
        h_mid, h_enc = model.encode(x_t.double(), embedding)
        if kind == "softmax":
            masks = torch.softmax(model.mask_logits(h_mid, h_enc, embedding) / TEMPERATURE, dim=1)
        else:
            masks = torch.full((batch, config.regions, *size), 1.0 / config.regions, dtype=torch.float64)
        predicted = model.decode(h_mid, h_enc, masks, embedding)
        loss = (predicted - noise.double()).square().mean()
        loss.backward()
        tensors[f"{kind}.loss"] = loss.detach().float()[None]
        tensors |= {f"{kind}.{key}": value for key, value in gradients(model).items()}
    path = DIRECTORY / f"{name}.safetensors"
    metadata = {"factorseg.format": "1", "factorseg.config": config.to_json()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
    print(f"{path.name}: {path.stat().st_size} bytes")


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    common = dict(base_channels=4, residual_blocks=1, attention_heads=2, norm_groups=2)
    # Three levels, attention in the middle one, images that are not square; the third image has no class.
    write(
        "training_conditional",
        ModelConfig(
            image_size=16, channel_multipliers=[1, 2, 3], attention_resolutions=[8], regions=3, classes=4, **common
        ),
        (16, 24),
        [1, 40, 1000],
        [0, 2, 4],
        ["softmax", "uniform"],
    )
    # Sides that do not divide into Winograd's tiles.
    write(
        "training_unconditional",
        ModelConfig(
            image_size=16, channel_multipliers=[1, 2], attention_resolutions=[16], regions=2, classes=0, **common
        ),
        (10, 14),
        [30, 500],
        None,
        ["softmax"],
    )
    # Residual blocks that change the resolution, and heads of 2 channels: 2 at one level, 4 in the middle.
    write(
        "training_residual",
        ModelConfig(
            image_size=16,
            channel_multipliers=[1, 1, 2],
            attention_resolutions=[8],
            regions=2,
            classes=0,
            resblock_updown=True,
            attention_head_channels=2,
            **common,
        ),
        (20, 12),
        [30, 500],
        None,
        ["softmax"],
    )
    # The ablations of the paper's Table 6.
    for decoding in ["concatenated", "masked-middle", "unshared"]:
        write(
            f"training_{decoding}",
            ModelConfig(
                image_size=16,
                channel_multipliers=[1, 2],
                attention_resolutions=[8],
                regions=3,
                classes=0,
                decoding=decoding,
                **common,
            ),
            (10, 14),
            [30, 500],
            None,
            ["softmax", "uniform"],
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
