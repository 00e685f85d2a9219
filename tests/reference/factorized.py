"""Independent PyTorch reference of the factorized diffusion network.

A second implementation of the network of the crate `factorseg-model`, written from the paper and from the layout
that checkpoints use, not from the Rust source, so that the two can be compared number by number. It holds the
network and the noise schedule and nothing of training.

Module names equal checkpoint tensor names. Two things differ between PyTorch and the checkpoint layout and are
translated by `to_checkpoint` and `from_checkpoint`: a linear layer's weight is stored as [inputs, outputs], and a
GroupNorm's scale and shift are called `gamma` and `beta`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class ScheduleConfig:
    """Linear noise schedule of DDPM: beta rises from beta_start (t = 1) to beta_end (t = timesteps)."""

    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02


@dataclass
class ModelConfig:
    """Sizes of the network; the fields are those of `factorseg.config` in a checkpoint's header."""

    image_size: int = 64
    base_channels: int = 128
    channel_multipliers: list[int] = field(default_factory=lambda: [1, 2, 3, 4])
    residual_blocks: int = 3
    attention_resolutions: list[int] = field(default_factory=lambda: [16, 8])
    attention_heads: int = 4
    norm_groups: int = 32
    regions: int = 3
    classes: int = 0
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    # Channels of a head, in place of a number of heads; and whether residual blocks change the resolution.
    attention_head_channels: int | None = None
    resblock_updown: bool = False
    # How the decoder takes in the masks: the paper's way, or an ablation of its Table 6: "concatenated" (Eq. 5),
    # "masked-middle", "unshared".
    decoding: str = "factorized"

    def to_json(self) -> str:
        """As checkpoints have it: fields that say nothing new are left out."""
        values = asdict(self)
        for name in ("attention_head_channels", "resblock_updown"):
            if not values[name]:
                del values[name]
        if self.decoding == "factorized":
            del values["decoding"]
        return json.dumps(values)

    @staticmethod
    def from_json(text: str) -> "ModelConfig":
        values = json.loads(text)
        values["schedule"] = ScheduleConfig(**values["schedule"])
        return ModelConfig(**values)

    @property
    def embedding_channels(self) -> int:
        return 4 * self.base_channels

    def level_channels(self) -> list[int]:
        """Channels of each encoder level, finest first."""
        return [self.base_channels * multiplier for multiplier in self.channel_multipliers]

    def heads(self, channels: int) -> int:
        """Heads of an attention of so many channels."""
        return channels // self.attention_head_channels if self.attention_head_channels else self.attention_heads

    def level_has_attention(self) -> list[bool]:
        """Whether each encoder level, finest first, holds self-attention."""
        return [self.image_size >> level in self.attention_resolutions for level in range(len(self.channel_multipliers))]


class NoiseSchedule:
    """Cumulative products of 1 - beta, in float64. Index t is the paper's t; index 0 stands for no noise."""

    def __init__(self, config: ScheduleConfig):
        steps = torch.linspace(config.beta_start, config.beta_end, config.timesteps, dtype=torch.float64)
        self.beta = torch.cat([torch.zeros(1, dtype=torch.float64), steps])
        self.alpha_bar = torch.cumprod(1.0 - self.beta, dim=0)

    def add_noise(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Eq. 1: x_t for images [batch, 3, height, width] in [-1, 1] and timesteps [batch] in 0..=T."""
        alpha_bar = self.alpha_bar[timestep].to(x_0.dtype)[:, None, None, None]
        return alpha_bar.sqrt() * x_0 + (1.0 - alpha_bar).sqrt() * noise


def sinusoidal_embedding(position: Tensor, channels: int) -> Tensor:
    """[batch] -> [batch, channels], float64: cosines, then sines, of frequencies from 1 down towards 1/10000."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64, device=position.device) / half)
    angles = position.double()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Timestep [batch] (the paper's t, 1..=T) -> [batch, 4C]."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.channels = config.base_channels
        self.linear_1 = nn.Linear(config.base_channels, config.embedding_channels)
        self.linear_2 = nn.Linear(config.embedding_channels, config.embedding_channels)

    def forward(self, timestep: Tensor) -> Tensor:
        position = sinusoidal_embedding(timestep - 1, self.channels).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(position)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; the embedding scales and shifts the second normalisation.

    A block may change the resolution: `resample` then takes both the activated features and the skip, before the first
    convolution. `masks` channels more may follow the input's: the first normalisation leaves them as they are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        config: ModelConfig,
        resample: Callable[[Tensor], Tensor] = lambda x: x,
        masks: int = 0,
    ):
        super().__init__()
        self.resample = resample
        self.norm_1 = nn.GroupNorm(config.norm_groups, inputs)
        self.conv_1 = nn.Conv2d(inputs + masks, outputs, 3, padding=1)
        self.embedding = nn.Linear(config.embedding_channels, 2 * outputs)
        self.norm_2 = nn.GroupNorm(config.norm_groups, outputs)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs + masks, outputs, 1) if inputs + masks != outputs else None
        zero_(self.conv_2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        features, masks = x.tensor_split([self.norm_1.num_channels], dim=1)
        h = self.conv_1(self.resample(torch.cat([F.silu(self.norm_1(features)), masks], dim=1)))
        x = self.resample(x)
        scale, shift = self.embedding(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = self.norm_2(h) * (1.0 + scale) + shift
        h = self.conv_2(F.silu(h))
        return h + (x if self.skip is None else self.skip(x))


class Attention(nn.Module):
    """Self-attention over all positions; per head the projection holds query, key, value in this order."""

    def __init__(self, channels: int, config: ModelConfig):
        super().__init__()
        self.heads = config.heads(channels)
        self.norm = nn.GroupNorm(config.norm_groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        zero_(self.project)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        depth = channels // self.heads
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [batch, positions, channels]
        qkv = self.qkv(tokens).reshape(batch, height * width, self.heads, 3, depth)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)  # each [batch, heads, positions, depth]
        weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(depth), dim=3)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, height * width, channels)
        return x + self.project(mixed).transpose(1, 2).reshape(batch, channels, height, width)


class Block(nn.Module):
    """A residual block and, at the levels that have it, attention."""

    def __init__(self, inputs: int, outputs: int, attention: bool, config: ModelConfig, masks: int = 0):
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, config, masks=masks)
        self.attention = Attention(outputs, config) if attention else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        x = self.residual(x, embedding)
        return x if self.attention is None else self.attention(x)


def halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Downsample(nn.Module):
    def __init__(self, channels: int, config: ModelConfig):
        super().__init__()
        self.residual = ResidualBlock(channels, channels, config, halved) if config.resblock_updown else None
        self.conv = None if config.resblock_updown else nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.conv(x) if self.residual is None else self.residual(x, embedding)


class Upsample(nn.Module):
    def __init__(self, channels: int, config: ModelConfig):
        super().__init__()
        self.residual = ResidualBlock(channels, channels, config, doubled) if config.resblock_updown else None
        self.conv = None if config.resblock_updown else nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.conv(doubled(x)) if self.residual is None else self.residual(x, embedding)


class EncoderLevel(nn.Module):
    def __init__(self, inputs: int, outputs: int, attention: bool, last: bool, config: ModelConfig):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(inputs if index == 0 else outputs, outputs, attention, config)
            for index in range(config.residual_blocks)
        )
        self.downsample = None if last else Downsample(outputs, config)


class Encoder(nn.Module):
    """Eq. 2: x_t -> h_enc, the list of all internal features, in the order in which they arise."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        channels = config.level_channels()
        attention = config.level_has_attention()
        self.conv_in = nn.Conv2d(3, config.base_channels, 3, padding=1)
        self.levels = nn.ModuleList()
        inputs = config.base_channels
        for level, outputs in enumerate(channels):
            last = level == len(channels) - 1
            self.levels.append(EncoderLevel(inputs, outputs, attention[level], last, config))
            inputs = outputs

    @staticmethod
    def skip_channels(config: ModelConfig) -> list[int]:
        """Channels of each tensor of h_enc."""
        channels = [config.base_channels]
        levels = config.level_channels()
        for level, outputs in enumerate(levels):
            channels += [outputs] * (config.residual_blocks + (level < len(levels) - 1))
        return channels

    def forward(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        x = self.conv_in(x)
        skips = [x]
        for level in self.levels:
            for block in level.blocks:
                x = block(x, embedding)
                skips.append(x)
            if level.downsample is not None:
                x = level.downsample(x, embedding)
                skips.append(x)
        return skips


class Middle(nn.Module):
    """Eq. 3: the last tensor of h_enc -> h_mid, of the same shape."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        channels = config.level_channels()[-1]
        self.residual_1 = ResidualBlock(channels, channels, config)
        self.attention = Attention(channels, config)
        self.residual_2 = ResidualBlock(channels, channels, config)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.residual_2(self.attention(self.residual_1(x, embedding)), embedding)


class UpLevel(nn.Module):
    def __init__(self, inputs: list[int], outputs: int, attention: bool, last: bool, config: ModelConfig, masks: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, outputs, attention, config, masks) for channels in inputs)
        self.upsample = None if last else Upsample(outputs, config)


class UpStack(nn.Module):
    """The second half of a U-Net: h_mid and h_enc -> [batch, outputs, height, width]. Level 0 is the coarsest.

    Each skip may have `masks` channels more than the encoder's.
    """

    def __init__(self, outputs: int, config: ModelConfig, masks: int = 0):
        super().__init__()
        skips = Encoder.skip_channels(config)
        attention = config.level_has_attention()
        levels = config.level_channels()
        self.levels = nn.ModuleList()
        channels = levels[-1]
        for level in reversed(range(len(levels))):
            inputs = []
            for _ in range(config.residual_blocks + 1):
                inputs.append(channels + skips.pop())
                channels = levels[level]
            self.levels.append(UpLevel(inputs, channels, attention[level], level == 0, config, masks))
        self.norm_out = nn.GroupNorm(config.norm_groups, channels)
        self.conv_out = nn.Conv2d(channels, outputs, 3, padding=1)
        zero_(self.conv_out)

    def forward(self, x: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        remaining = list(skips)
        for level in self.levels:
            for block in level.blocks:
                x = block(torch.cat([x, remaining.pop()], dim=1), embedding)
            if level.upsample is not None:
                x = level.upsample(x, embedding)
        return self.conv_out(F.silu(self.norm_out(x)))


class Factorized(nn.Module):
    """Figure 2 of the paper: encoder, middle block, mask generator, and a decoder shared by K region branches."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.time_embedding = TimeEmbedding(config)
        # Row `classes` stands for "no class".
        self.class_embedding = (
            nn.Embedding(config.classes + 1, config.embedding_channels) if config.classes > 0 else None
        )
        self.encoder = Encoder(config)
        self.middle = Middle(config)
        self.mask_generator = UpStack(config.regions, config)
        masks = config.regions if config.decoding == "concatenated" else 0
        if config.decoding == "unshared":
            self.decoder = nn.ModuleList(UpStack(3, config) for _ in range(config.regions))
        else:
            self.decoder = UpStack(3, config, masks)

    def embed(self, timestep: Tensor, label: Tensor | None) -> Tensor:
        """Timestep [batch] and class index [batch] (None: no class) -> [batch, 4C]."""
        embedding = self.time_embedding(timestep)
        if self.class_embedding is not None:
            if label is None:
                label = torch.full_like(timestep, self.config.classes)
            embedding = embedding + self.class_embedding(label)
        return embedding

    def encode(self, x_t: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Eq. 2 and 3: (h_mid, h_enc)."""
        skips = self.encoder(x_t, embedding)
        return self.middle(skips[-1], embedding), skips

    def mask_logits(self, h_mid: Tensor, h_enc: list[Tensor], embedding: Tensor) -> Tensor:
        """Eq. 4 before the softmax: [batch, K, height, width]."""
        return self.mask_generator(h_mid, h_enc, embedding)

    def decode(self, h_mid: Tensor, h_enc: list[Tensor], masks: Tensor, embedding: Tensor) -> Tensor:
        """Eq. 6 and 7: every branch sees h_enc times its own mask and h_mid whole; the sum is weighted by masks."""
        regions = masks.shape[1]
        batch = masks.shape[0]
        if self.config.decoding == "concatenated":
            # Eq. 5. The masks that join h_mid are those that join the first skip, which the same block reads.
            joined = [torch.cat([skip, F.adaptive_avg_pool2d(masks, skip.shape[2:])], dim=1) for skip in h_enc]
            return self.decoder(h_mid, joined, embedding)
        flat = masks.transpose(0, 1).reshape(regions * batch, 1, *masks.shape[2:])  # region-major

        def under_masks(feature: Tensor) -> Tensor:
            return feature.repeat(regions, 1, 1, 1) * F.adaptive_avg_pool2d(flat, feature.shape[2:])

        if self.config.decoding == "masked-middle":
            whole = [skip.repeat(regions, 1, 1, 1) for skip in h_enc]
            noise = self.decoder(under_masks(h_mid), whole, embedding.repeat(regions, 1))
        elif self.config.decoding == "unshared":
            masked = [under_masks(skip).chunk(regions) for skip in h_enc]
            branches = enumerate(self.decoder)
            noise = torch.cat([decoder(h_mid, [skip[k] for skip in masked], embedding) for k, decoder in branches])
        else:
            masked = [under_masks(skip) for skip in h_enc]
            noise = self.decoder(h_mid.repeat(regions, 1, 1, 1), masked, embedding.repeat(regions, 1))
        return (noise * flat).reshape(regions, batch, *noise.shape[1:]).sum(dim=0)

    def masks(self, x_t: Tensor, timestep: Tensor, label: Tensor | None = None) -> Tensor:
        """Eq. 4: region masks [batch, K, height, width] that sum to one over K. The decoder is not run."""
        embedding = self.embed(timestep, label)
        h_mid, h_enc = self.encode(x_t, embedding)
        return torch.softmax(self.mask_logits(h_mid, h_enc, embedding), dim=1)

    def forward(self, x_t: Tensor, timestep: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Eq. 7: predicted noise [batch, 3, height, width] and region masks [batch, K, height, width]."""
        embedding = self.embed(timestep, label)
        h_mid, h_enc = self.encode(x_t, embedding)
        masks = torch.softmax(self.mask_logits(h_mid, h_enc, embedding), dim=1)
        return self.decode(h_mid, h_enc, masks, embedding), masks


def zero_(layer: nn.Module) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _parameter_names(model: Factorized) -> dict[str, tuple[str, bool]]:
    """PyTorch name -> (checkpoint name, whether the weight is stored transposed)."""
    modules = dict(model.named_modules())
    names = {}
    for name, _ in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        if isinstance(modules[owner], nn.GroupNorm):
            leaf = {"weight": "gamma", "bias": "beta"}[leaf]
        transposed = isinstance(modules[owner], nn.Linear) and leaf == "weight"
        names[name] = (f"{owner}.{leaf}", transposed)
    return names


def to_checkpoint(model: Factorized) -> dict[str, Tensor]:
    """The model's weights under their checkpoint names and in the checkpoint's layout."""
    parameters = dict(model.named_parameters())
    return {
        target: (parameters[name].detach().T if transposed else parameters[name].detach()).contiguous().clone()
        for name, (target, transposed) in _parameter_names(model).items()
    }


def from_checkpoint(model: Factorized, tensors: dict[str, Tensor]) -> None:
    """Loads weights in the checkpoint's layout into the model; every tensor must be there, with its shape."""
    state = {
        name: tensors[target].T if transposed else tensors[target]
        for name, (target, transposed) in _parameter_names(model).items()
    }
    model.load_state_dict(state, strict=True)
