"""Writes model/import/tests/fixtures: the U-Net of improved-diffusion in miniature, as .pt and .safetensors.

    python trainer/tests/reference/unet.py

An independent implementation of the published architecture (Nichol and Dhariwal, "Improved Denoising Diffusion
Probabilistic Models", and its successor "Diffusion Models Beat GANs") with the parameter names of the public
checkpoints. All weights are random. The outputs are computed in float64 from the float32 weights. Needs torch, numpy,
safetensors.
"""

import math
from pathlib import Path

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


class ResBlock(nn.Module):
    def __init__(self, channels, embedding, out):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x, embedding):
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, 1)
        h = self.out_layers[0](self.in_layers(x)) * (1 + scale) + shift
        return self.skip_connection(x) + self.out_layers[1:](h)


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
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    def __init__(self, channels, multipliers, blocks, attention_levels, heads, outputs, classes=None, new_order=False):
        super().__init__()
        embedding = 4 * channels
        self.channels = channels
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        if classes:
            self.label_emb = nn.Embedding(classes, embedding)
        attention = lambda width: AttentionBlock(width, heads, new_order)
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
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
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
                    layers.append(Upsample(width))
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
    write_containers()


if __name__ == "__main__":
    main()
