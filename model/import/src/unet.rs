//! improved-diffusion's and guided-diffusion's U-Net, told from the names and shapes of its tensors, under the names of a
//! factorized network.
//!
//! With one region a factorized network is that U-Net: encoder, middle block and decoder take the weights as they are.
//! The mask generator has the decoder's shape but for its head, and starts from the decoder's weights with a head of
//! zeros.
//!
//! Names and shapes do not say how many heads an attention has nor in which order its channels are: [`Hints`] do.

use std::collections::BTreeSet;

use crate::ImportError;
use crate::state_dict::StateDict;

/// Channels of an image, and of the noise.
const IMAGE_CHANNELS: usize = 3;

/// improved-diffusion's `num_heads`, by default and in its public networks.
const USUAL_HEADS: usize = 4;

/// What names and shapes do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// Attention heads. May be left out for networks that change the resolution in convolutions: improved-diffusion's
    /// public ones have 4. guided-diffusion's differ.
    pub heads: Option<Heads>,
    /// Whether queries, keys and values come before heads in the attention's channels: guided-diffusion's
    /// `use_new_attention_order`.
    pub new_attention_order: bool,
    /// Regions of the factorized network.
    pub regions: usize,
}

/// How many heads an attention has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// A number (`num_heads`).
    Count(usize),
    /// So many channels each (`num_head_channels`).
    Channels(usize),
}

impl Heads {
    /// Heads of an attention of so many channels, if they divide into them.
    fn of(self, channels: usize) -> Option<usize> {
        let divides = |by: usize| by > 0 && channels % by == 0;
        match self {
            Self::Count(heads) => divides(heads).then_some(heads),
            Self::Channels(size) => divides(size).then(|| channels / size),
        }
    }
}

/// What network a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Channels of the finest level.
    pub base_channels: usize,
    /// Channels of each level in multiples of that, finest first.
    pub channel_multipliers: Vec<usize>,
    /// Residual blocks per level of the encoder.
    pub residual_blocks: usize,
    /// Levels that hold self-attention, 0 being the finest.
    pub attention_levels: Vec<usize>,
    /// Heads of the middle block's attention, and of every other where `head_channels` is not set.
    pub heads: usize,
    /// Channels of each head, where the number of heads differs from level to level.
    pub head_channels: Option<usize>,
    /// Whether the resolution changes in residual blocks.
    pub resblock_updown: bool,
    /// Number of classes, 0 without.
    pub classes: usize,
    /// Whether the network also predicts variances, which are left out.
    pub learned_sigma: bool,
}

/// A tensor of the factorized network: name, shape, values.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Where a tensor comes from and what has to be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    AsIs,
    /// `[out, in]` (or `[out, in, 1]`) to `[in, out]`.
    Transposed,
    /// The first three output channels: the noise without the variances.
    Noise,
    /// Queries, keys and values of each head side by side, and transposed.
    Attention,
    /// The same for the bias.
    AttentionBias,
    /// One more row for "no class".
    Classes,
}

struct Job {
    from: String,
    to: String,
    shape: Shape,
}

struct Reader<'s> {
    state: &'s StateDict,
    heads: Heads,
    new_attention_order: bool,
    jobs: Vec<Job>,
}

impl Reader<'_> {
    fn error(&self, reason: String) -> ImportError {
        ImportError::Layout {
            file: self.state.file().to_owned(),
            reason,
        }
    }

    fn ensure(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), ImportError> {
        if holds { Ok(()) } else { Err(self.error(reason())) }
    }

    fn has(&self, name: &str) -> bool {
        self.state.shape(name).is_some()
    }

    fn shape(&self, name: &str) -> Result<&[usize], ImportError> {
        self.state.shape(name).ok_or_else(|| self.state.wrong(name, "missing"))
    }

    /// Size of the first dimension.
    fn rows(&self, name: &str) -> Result<usize, ImportError> {
        let first = self.shape(name)?.first().copied();
        first.ok_or_else(|| self.state.wrong(name, "it is a single number"))
    }

    fn expect(&self, name: &str, expected: &[usize]) -> Result<(), ImportError> {
        let found = self.shape(name)?;
        if found == expected {
            return Ok(());
        }
        let reason = format!("shape {found:?}, expected {expected:?}");
        Err(self.state.wrong(name, reason))
    }

    fn add(&mut self, from: String, to: String, shape: Shape) {
        self.jobs.push(Job { from, to, shape });
    }

    /// A layer of two tensors, whose shapes are checked: weight, then bias.
    fn layer(&mut self, from: &str, to: &str, parts: [(&str, &[usize], Shape); 2]) -> Result<(), ImportError> {
        for ((part, expected, shape), theirs) in parts.into_iter().zip(["weight", "bias"]) {
            let theirs = format!("{from}.{theirs}");
            self.expect(&theirs, expected)?;
            self.add(theirs, format!("{to}.{part}"), shape);
        }
        Ok(())
    }

    fn convolution(&mut self, from: &str, to: &str, channels: [usize; 2], kernel: usize) -> Result<(), ImportError> {
        let [input, output] = channels;
        let weight: &[usize] = &[output, input, kernel, kernel];
        self.layer(
            from,
            to,
            [("weight", weight, Shape::AsIs), ("bias", &[output], Shape::AsIs)],
        )
    }

    fn linear(&mut self, from: &str, to: &str, channels: [usize; 2]) -> Result<(), ImportError> {
        let [input, output] = channels;
        let weight: &[usize] = &[output, input];
        self.layer(
            from,
            to,
            [("weight", weight, Shape::Transposed), ("bias", &[output], Shape::AsIs)],
        )
    }

    fn norm(&mut self, from: &str, to: &str, channels: usize) -> Result<(), ImportError> {
        let size: &[usize] = &[channels];
        self.layer(from, to, [("gamma", size, Shape::AsIs), ("beta", size, Shape::AsIs)])
    }

    /// A residual block; returns its output channels.
    fn residual(&mut self, from: &str, to: &str, input: usize, embedding: usize) -> Result<usize, ImportError> {
        let (theirs, ours) = (
            |part: &str| format!("{from}.{part}"),
            |part: &str| format!("{to}.{part}"),
        );
        let output = self.rows(&theirs("in_layers.2.weight"))?;
        self.norm(&theirs("in_layers.0"), &ours("norm_1"), input)?;
        self.convolution(&theirs("in_layers.2"), &ours("conv_1"), [input, output], 3)?;
        self.ensure(self.rows(&theirs("emb_layers.1.weight"))? != output, || {
            "its residual blocks only shift by the embedding (use_scale_shift_norm is off); ours scale and shift".into()
        })?;
        self.linear(&theirs("emb_layers.1"), &ours("embedding"), [embedding, 2 * output])?;
        self.norm(&theirs("out_layers.0"), &ours("norm_2"), output)?;
        self.convolution(&theirs("out_layers.3"), &ours("conv_2"), [output, output], 3)?;
        if input != output {
            self.convolution(&theirs("skip_connection"), &ours("skip"), [input, output], 1)?;
        }
        Ok(output)
    }

    fn attention(&mut self, from: &str, to: &str, channels: usize) -> Result<(), ImportError> {
        self.ensure(self.heads.of(channels).is_some(), || {
            let (of, option) = match self.heads {
                Heads::Count(heads) => (format!("{heads} heads"), "--heads"),
                Heads::Channels(size) => (format!("heads of {size}"), "--head-channels"),
            };
            format!("{channels} channels of {from} do not divide into {of}; give {option}")
        })?;
        self.norm(&format!("{from}.norm"), &format!("{to}.norm"), channels)?;
        let (mut weight, mut bias) = (Shape::Transposed, Shape::AsIs);
        if self.new_attention_order {
            (weight, bias) = (Shape::Attention, Shape::AttentionBias);
        }
        for (part, ours, rows, weight, bias) in [
            ("qkv", "qkv", 3 * channels, weight, bias),
            ("proj_out", "project", channels, Shape::Transposed, Shape::AsIs),
        ] {
            let from = format!("{from}.{part}");
            // A 1x1 convolution over positions, or a linear layer.
            let dimensions = self.shape(&format!("{from}.weight"))?.len().clamp(2, 3);
            let expected = &[rows, channels, 1][..dimensions];
            let parts = [("weight", expected, weight), ("bias", &[rows][..], bias)];
            self.layer(&from, &format!("{to}.{ours}"), parts)?;
        }
        Ok(())
    }
}

/// One level of the encoder as it was found.
#[derive(Default)]
struct Level {
    channels: usize,
    blocks: usize,
    attention: bool,
}

/// Blocks per level of the encoder and number of levels of a network that changes the resolution in residual blocks. They
/// look like any others but for where they are: at the end of the last entry of a level of `output_blocks`.
fn resblock_updown(state: &StateDict) -> Option<(usize, usize)> {
    let entries: BTreeSet<usize> = state
        .names()
        .filter_map(|name| {
            let (entry, part) = name.strip_prefix("output_blocks.")?.split_once('.')?;
            let second = part.starts_with("1.in_layers.") || part.starts_with("2.in_layers.");
            if second { entry.parse().ok() } else { None }
        })
        .collect();
    Some((*entries.first()?, entries.len() + 1))
}

/// Finds out what network a file holds, and reads it as a factorized network of `hints.regions` regions.
///
/// # Errors
/// If the file holds another kind of network, one with parts that ours has not, or if a tensor is missing, of another
/// shape, or cannot be read.
pub fn import(state: &mut StateDict, hints: Hints) -> Result<(Layout, Vec<Named>), ImportError> {
    let (layout, heads, jobs) = plan(state, hints)?;
    let mut tensors = Vec::with_capacity(jobs.len());
    for job in jobs {
        let shape = state.shape(&job.from).unwrap_or_default().to_vec();
        let values = state.read(&job.from)?;
        let (shape, values) = reshape(job.shape, shape, values, heads);
        if let Some(rest) = job.to.strip_prefix("decoder.") {
            let name = format!("mask_generator.{rest}");
            if rest.starts_with("conv_out.") {
                let mut shape = shape.clone();
                shape[0] = hints.regions;
                tensors.push((name, shape.clone(), vec![0.0; shape.iter().product()]));
            } else {
                tensors.push((name, shape.clone(), values.clone()));
            }
        }
        tensors.push((job.to, shape, values));
    }
    Ok((layout, tensors))
}

fn plan(state: &StateDict, hints: Hints) -> Result<(Layout, Heads, Vec<Job>), ImportError> {
    let mut r = Reader {
        state,
        heads: hints.heads.unwrap_or(Heads::Count(USUAL_HEADS)),
        new_attention_order: hints.new_attention_order,
        jobs: Vec::new(),
    };
    r.ensure(r.has("input_blocks.0.0.weight") && r.has("time_embed.0.weight"), || {
        "it has no input_blocks and time_embed; expected a state dictionary of improved-diffusion or guided-diffusion"
            .into()
    })?;
    let [base, input] = match r.shape("input_blocks.0.0.weight")? {
        [base, input, 3, 3] => [*base, *input],
        other => return Err(r.error(format!("input_blocks.0.0.weight has shape {other:?}"))),
    };
    r.ensure(input == IMAGE_CHANNELS, || {
        format!("its input has {input} channels, expected the {IMAGE_CHANNELS} of a picture")
    })?;
    let embedding = 4 * base;
    if let [_, sinusoids] = r.shape("time_embed.0.weight")?
        && *sinusoids != base
    {
        return Err(r.error(format!(
            "its first level has {base} channels and its embedding is made for {sinusoids}: channel_mult does not begin \
             with 1"
        )));
    }
    r.linear("time_embed.0", "time_embedding.linear_1", [base, embedding])?;
    r.linear("time_embed.2", "time_embedding.linear_2", [embedding, embedding])?;
    let mut classes = 0;
    if r.has("label_emb.weight") {
        classes = r.rows("label_emb.weight")?;
        r.expect("label_emb.weight", &[classes, embedding])?;
        r.add(
            "label_emb.weight".into(),
            "class_embedding.weight".into(),
            Shape::Classes,
        );
    }
    r.convolution("input_blocks.0.0", "encoder.conv_in", [input, base], 3)?;

    r.ensure(r.has("output_blocks.0.0.in_layers.0.weight"), || {
        "it has no output_blocks; a classifier is no denoiser".into()
    })?;
    let updown = resblock_updown(state);
    r.ensure(updown.is_none() || hints.heads.is_some(), || {
        "it is one of guided-diffusion's, and its names and shapes do not tell attention heads: give --head-channels \
         (num_head_channels) or --heads (num_heads)"
            .into()
    })?;
    let mut skips = vec![base];
    let mut levels: Vec<Level> = Vec::new();
    let mut channels = base;
    let mut begin = true;
    let mut index = 1;
    while r.has(&format!("input_blocks.{index}.0.in_layers.0.weight"))
        || r.has(&format!("input_blocks.{index}.0.op.weight"))
    {
        let from = format!("input_blocks.{index}");
        if begin {
            levels.push(Level::default());
            begin = false;
        }
        let number = levels.len() - 1;
        let strided = r.has(&format!("{from}.0.op.weight"));
        r.ensure(!strided || updown.is_none(), || {
            format!("{from} changes the resolution in a convolution, output_blocks in residual blocks")
        })?;
        if updown.is_some_and(|(blocks, count)| levels[number].blocks == blocks && levels.len() < count) {
            let to = format!("encoder.levels.{number}.downsample.residual");
            let output = r.residual(&format!("{from}.0"), &to, channels, embedding)?;
            r.ensure(output == channels, || {
                format!("{from} halves the resolution and makes {output} channels of {channels}")
            })?;
            begin = true;
        } else if strided {
            let to = format!("encoder.levels.{number}.downsample.conv");
            r.convolution(&format!("{from}.0.op"), &to, [channels, channels], 3)?;
            begin = true;
        } else {
            let block = levels[number].blocks;
            let to = format!("encoder.levels.{number}.blocks.{block}");
            channels = r.residual(&format!("{from}.0"), &format!("{to}.residual"), channels, embedding)?;
            let attention = r.has(&format!("{from}.1.qkv.weight"));
            if attention {
                r.attention(&format!("{from}.1"), &format!("{to}.attention"), channels)?;
            }
            let level = Level {
                channels,
                blocks: block + 1,
                attention,
            };
            let before = std::mem::replace(&mut levels[number], level);
            r.ensure(
                block == 0 || (before.attention, before.channels) == (attention, channels),
                || format!("{from} is of another kind than the blocks before it on its level"),
            )?;
        }
        skips.push(channels);
        index += 1;
    }
    let goes_on = r.has(&format!("input_blocks.{}.0.in_layers.0.weight", index + 1));
    r.ensure(!goes_on, || {
        format!("input_blocks.{index} has no weights: it changes the resolution without a convolution (conv_resample is off)")
    })?;
    let blocks = levels.first().map_or(0, |level| level.blocks);
    let alike = levels.iter().all(|level| level.blocks == blocks);
    r.ensure(blocks > 0 && !begin && alike, || {
        "its levels have different numbers of residual blocks, or none".into()
    })?;
    r.ensure(levels.iter().all(|level| level.channels % base == 0), || {
        format!("its levels' channels are no multiples of {base}")
    })?;
    r.residual("middle_block.0", "middle.residual_1", channels, embedding)?;
    r.attention("middle_block.1", "middle.attention", channels)?;
    r.residual("middle_block.2", "middle.residual_2", channels, embedding)?;

    let mut index = 0;
    for number in 0..levels.len() {
        let level = &levels[levels.len() - 1 - number];
        for block in 0..=blocks {
            let from = format!("output_blocks.{index}");
            let to = format!("decoder.levels.{number}.blocks.{block}");
            let skip = skips.pop().unwrap_or(0);
            channels = r.residual(
                &format!("{from}.0"),
                &format!("{to}.residual"),
                channels + skip,
                embedding,
            )?;
            r.ensure(channels == level.channels, || {
                format!("{from} gives {channels} channels, expected {}", level.channels)
            })?;
            if level.attention {
                r.attention(&format!("{from}.1"), &format!("{to}.attention"), channels)?;
            }
            if block == blocks && number + 1 < levels.len() {
                let from = format!("{from}.{}", 1 + usize::from(level.attention));
                let to = format!("decoder.levels.{number}.upsample");
                if updown.is_none() {
                    r.convolution(&format!("{from}.conv"), &format!("{to}.conv"), [channels, channels], 3)?;
                } else {
                    let output = r.residual(&from, &format!("{to}.residual"), channels, embedding)?;
                    r.ensure(output == channels, || {
                        format!("{from} doubles the resolution and makes {output} channels of {channels}")
                    })?;
                }
            }
            index += 1;
        }
    }
    r.norm("out.0", "decoder.norm_out", channels)?;
    let outputs = r.rows("out.2.weight")?;
    r.ensure(outputs == IMAGE_CHANNELS || outputs == 2 * IMAGE_CHANNELS, || {
        format!("it has {outputs} output channels, expected 3, or 6 with variances")
    })?;
    r.expect("out.2.weight", &[outputs, channels, 3, 3])?;
    r.expect("out.2.bias", &[outputs])?;
    for part in ["weight", "bias"] {
        r.add(
            format!("out.2.{part}"),
            format!("decoder.conv_out.{part}"),
            Shape::Noise,
        );
    }

    let used: BTreeSet<&str> = r.jobs.iter().map(|job| job.from.as_str()).collect();
    let unused: Vec<&str> = state.names().filter(|name| !used.contains(name)).collect();
    r.ensure(unused.is_empty(), || {
        let (count, first) = (unused.len(), unused[0]);
        format!("{count} tensors have no place in our network, the first is `{first}`")
    })?;
    // All of these were found to divide.
    let heads = |level: &Level| r.heads.of(level.channels);
    let of_middle = levels.last().and_then(heads);
    let differ = levels.iter().any(|level| level.attention && heads(level) != of_middle);
    let layout = Layout {
        base_channels: base,
        channel_multipliers: levels.iter().map(|level| level.channels / base).collect(),
        residual_blocks: blocks,
        attention_levels: (0..levels.len()).filter(|number| levels[*number].attention).collect(),
        heads: of_middle.unwrap_or(0),
        head_channels: match r.heads {
            Heads::Channels(size) if differ => Some(size),
            _ => None,
        },
        resblock_updown: updown.is_some(),
        classes,
        learned_sigma: outputs != IMAGE_CHANNELS,
    };
    Ok((layout, r.heads, r.jobs))
}

/// `heads` are those of an attention's channels.
fn reshape(kind: Shape, mut shape: Vec<usize>, values: Vec<f32>, heads: Heads) -> (Vec<usize>, Vec<f32>) {
    match kind {
        Shape::AsIs => (shape, values),
        Shape::Noise => {
            let channel = values.len() / shape[0];
            shape[0] = IMAGE_CHANNELS;
            (shape, values[..IMAGE_CHANNELS * channel].to_vec())
        }
        Shape::Classes => {
            let columns = shape[1];
            let mut all = values;
            // The mean of all classes stands for "no class" until training finds better.
            let mean = (0..columns).map(|column| {
                let sum: f64 = all[column..]
                    .iter()
                    .step_by(columns)
                    .map(|value| f64::from(*value))
                    .sum();
                (sum / shape[0] as f64) as f32
            });
            let mean: Vec<f32> = mean.collect();
            all.extend(mean);
            (vec![shape[0] + 1, columns], all)
        }
        Shape::Transposed => (vec![shape[1], shape[0]], transposed(&values, shape[0], shape[1])),
        Shape::AttentionBias => {
            let rows = side_by_side(shape[0], heads);
            (shape, rows.into_iter().map(|row| values[row]).collect())
        }
        Shape::Attention => {
            let columns = shape[1];
            let rows = side_by_side(shape[0], heads);
            let ordered: Vec<f32> = rows
                .into_iter()
                .flat_map(|row| &values[row * columns..(row + 1) * columns])
                .copied()
                .collect();
            (vec![columns, shape[0]], transposed(&ordered, shape[0], columns))
        }
    }
}

/// `[out, in]` to `[in, out]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let column = |column: usize| (0..rows).map(move |row| values[row * columns + column]);
    (0..columns).flat_map(column).collect()
}

/// Rows of queries of all heads, keys of all heads, values of all heads, in the order query, key, value of each head.
fn side_by_side(rows: usize, heads: Heads) -> Vec<usize> {
    let size = match heads {
        Heads::Count(heads) => rows / 3 / heads,
        Heads::Channels(size) => size,
    };
    let heads = rows / 3 / size;
    (0..rows)
        .map(|row| {
            let (head, part, channel) = (row / (3 * size), row / size % 3, row % size);
            (part * heads + head) * size + channel
        })
        .collect()
}

#[cfg(test)]
mod tests;
