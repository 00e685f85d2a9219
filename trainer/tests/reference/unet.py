"""Writes model/import/tests/fixtures: the U-Nets of improved-diffusion and guided-diffusion in miniature.

    python trainer/tests/reference/unet.py

An independent implementation of the published architectures (Nichol and Dhariwal, "Improved Denoising Diffusion
Probabilistic Models", and its successor "Diffusion Models Beat GANs") with the parameter names of the public
checkpoints. All weights are random. The outputs are computed in float64 from the float32 weights. Needs torch, numpy,
safetensors.

Weights of the smaller ones are .pt files. Those of guided-diffusion's published networks, which have every block of the
original at a sixth or an eighth of its width, are computed from their names by `made`; their fixture holds names, shapes
and outputs, and model/import/tests/made/mod.rs computes the same weights.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

FIXTURES = Path(__file__).parents[3] / "model/import/tests/fixtures"
GROUPS = 32


def timestep_embedding(timesteps, channels):
    half = channels // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    angles = timesteps.double()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], 1)


def halved(x):
    return F.avg_pool2d(x, kernel_size=2, stride=2)


def doubled(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class ResBlock(nn.Module):
    """`updown`, one of the two above, is between activation and first convolution, and on the skip."""

    def __init__(self, channels, embedding, out, updown=None):
        super().__init__()
        self.updown = updown or (lambda x: x)
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x, embedding):
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, 1)
        h = self.in_layers[2](self.updown(self.in_layers[:2](x)))
        h = self.out_layers[0](h) * (1 + scale) + shift
        return self.skip_connection(self.updown(x)) + self.out_layers[1:](h)


class AttentionBlock(nn.Module):
    def __init__(self, channels, heads, new_order):
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        batch, channels, height, width = x.shape
        flat = x.reshape(batch, channels, -1)
        qkv = self.qkv(self.norm(flat))
        size = channels // self.heads
        if self.new_order:  # [q of all heads, k of all heads, v of all heads]
            q, k, v = (part.reshape(batch * self.heads, size, -1) for part in qkv.chunk(3, 1))
        else:  # [q, k, v] of one head after the other
            q, k, v = qkv.reshape(batch * self.heads, 3 * size, -1).split(size, 1)
        scale = 1 / math.sqrt(math.sqrt(size))
        weight = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale), -1)
        attended = torch.einsum("bts,bcs->bct", weight, v).reshape(batch, channels, -1)
        return (flat + self.proj_out(attended)).reshape(x.shape)


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(doubled(x))


class UNet(nn.Module):
    def __init__(
        self,
        channels,
        multipliers,
        blocks,
        attention_levels,
        heads,
        outputs,
        classes=None,
        new_order=False,
        head_channels=None,
        resblock_updown=False,
    ):
        super().__init__()
        embedding = 4 * channels
        self.channels = channels
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        if classes:
            self.label_emb = nn.Embedding(classes, embedding)
        attention = lambda width: AttentionBlock(width, width // head_channels if head_channels else heads, new_order)
        down = lambda width: ResBlock(width, embedding, width, halved) if resblock_updown else Downsample(width)
        up = lambda width: ResBlock(width, embedding, width, doubled) if resblock_updown else Upsample(width)
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, channels, 3, padding=1)])])
        skips, width = [channels], channels
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                layers = [ResBlock(width, embedding, multiplier * channels)]
                width = multiplier * channels
                if level in attention_levels:
                    layers.append(attention(width))
                self.input_blocks.append(nn.ModuleList(layers))
                skips.append(width)
            if level + 1 < len(multipliers):
                self.input_blocks.append(nn.ModuleList([down(width)]))
                skips.append(width)
        self.middle_block = nn.ModuleList(
            [ResBlock(width, embedding, width), attention(width), ResBlock(width, embedding, width)]
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for block in range(blocks + 1):
                layers = [ResBlock(width + skips.pop(), embedding, multiplier * channels)]
                width = multiplier * channels
                if level in attention_levels:
                    layers.append(attention(width))
                if level and block == blocks:
                    layers.append(up(width))
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x, timesteps, labels=None):
        embedding = self.time_embed(timestep_embedding(timesteps, self.channels).to(x.dtype))
        if labels is not None:
            embedding = embedding + self.label_emb(labels)

        def run(layers, h):
            for layer in layers:
                h = layer(h, embedding) if isinstance(layer, ResBlock) else layer(h)
            return h

        skips, h = [], x
        for layers in self.input_blocks:
            h = run(layers, h)
            skips.append(h)
        h = run(self.middle_block, h)
        for layers in self.output_blocks:
            h = run(layers, torch.cat([h, skips.pop()], 1))
        return self.out(h)


def randomise(model, generator):
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            parameter.data.copy_(0.1 * noise)
        else:
            parameter.data.copy_(noise / parameter[0].numel() ** 0.5)
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.weight.data.add_(1.0)


def write(name, model, heads, labels):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    randomise(model, generator)
    # Half of the size: what is compared is arithmetic, and the values are the same after the round trip.
    model.half().float()
    x = torch.randn(2, 3, 16, 24, generator=generator)
    timesteps = torch.tensor([0, 421])
    state = {key: value.half() for key, value in model.state_dict().items()}
    with torch.no_grad():
        noise = model.double()(x.double(), timesteps, labels)[:, :3]
    torch.save(state, FIXTURES / f"{name}.pt")
    outputs = {"x_t": x, "timestep": timesteps.int() + 1, "noise": noise.float().contiguous()}
    if labels is not None:
        outputs["class"] = labels.int()
    save_file(outputs, FIXTURES / f"{name}.outputs.safetensors")
    size = (FIXTURES / f"{name}.pt").stat().st_size
    print(f"{name}: {size} bytes, {heads} heads, noise std {noise.std():.3f}")


def made(name, shape):
    """Weights computed from their name: 24 bits of a hash of name and index, uniform, scaled by a power of two."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():  # FNV-1a
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    count = math.prod(shape)
    with np.errstate(over="ignore"):  # splitmix64
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    uniform = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1.0)
    if len(shape) > 1:
        fan_in = count // shape[0]
        values = uniform * np.float32(0.5 ** ((fan_in.bit_length() - 1) // 2))
    elif name.endswith(".weight"):
        values = np.float32(1.0) + np.float32(0.25) * uniform
    else:
        values = np.float32(0.125) * uniform
    return torch.from_numpy(values.reshape(shape))


def write_made(name, model, size, labels):
    state = {key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    generator = torch.Generator().manual_seed(sum(name.encode()))
    batch = 2
    x = torch.randn(batch, 3, *size, generator=generator)
    timesteps = torch.tensor([0, 421])
    with torch.no_grad():
        noise = model.double()(x.double(), timesteps, labels)[:, :3]
    outputs = {"x_t": x, "timestep": timesteps.int() + 1, "noise": noise.float().contiguous()}
    if labels is not None:
        outputs["class"] = labels.int()
    shapes = {key: list(value.shape) for key, value in state.items()}
    path = FIXTURES / f"{name}.outputs.safetensors"
    save_file(outputs, path, {"shapes": json.dumps(shapes, separators=(",", ":"))})
    parameters = sum(value.numel() for value in state.values())
    print(f"{name}: {path.stat().st_size} bytes, {parameters} parameters, noise std {noise.std():.3f}")


def write_containers():
    """The same few tensors in each container: a view with strides, a shared storage, every type of weights."""
    values = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "view": values.t()[1:4],
        "shared": values[2],
        "half": torch.tensor([1.5, -2.0]).half(),
        "bfloat": torch.tensor([[3.0], [-0.125]]).bfloat16(),
        "double": torch.tensor([0.1], dtype=torch.float64),
    }
    torch.save(state, FIXTURES / "containers.pt")
    torch.save({"epoch": 3, "state_dict": state, "rate": 0.1}, FIXTURES / "containers-nested.pt")
    torch.save(state, FIXTURES / "containers-old.pt", _use_new_zipfile_serialization=False)
    save_file(
        {f"module.{key}": value.contiguous() for key, value in state.items()}, FIXTURES / "containers.safetensors"
    )


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write("improved", UNet(32, (1, 2), 1, {1}, 4, 6), 4, None)
    write("attention-order", UNet(32, (1, 1), 1, {0, 1}, 2, 3, classes=5, new_order=True), 2, torch.tensor([4, 1]))
    # 64x64_diffusion.pt: attention_resolutions 32,16,8, class_cond, learn_sigma, num_channels 192, num_head_channels 64,
    # num_res_blocks 3, resblock_updown, use_new_attention_order, use_scale_shift_norm. Here 32 channels, heads of 16.
    published = dict(head_channels=16, resblock_updown=True)
    write_made(
        "guided-64",
        UNet(32, (1, 2, 3, 4), 3, {1, 2, 3}, None, 6, classes=10, new_order=True, **published),
        (16, 24),
        torch.tensor([7, 2]),
    )
    # 256x256_diffusion_uncond.pt: the same, but class_cond, num_channels 256, num_res_blocks 2 and the older order.
    write_made("guided-256", UNet(32, (1, 1, 2, 2, 4, 4), 2, {3, 4, 5}, None, 6, **published), (64, 32), None)
    write_containers()


if __name__ == "__main__":
    main()
