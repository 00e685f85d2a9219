//! What the examples that measure share: options, presets, random numbers, times.

use factorseg_kernels::{Architecture, Arithmetic, Decoding, InstructionSet, Parameter};
use std::error::Error;
use std::str::FromStr;
use std::time::Instant;

/// Options of the command line: `--name value`, or `--name` alone.
pub struct Options(Vec<String>);

impl Options {
    /// Those of this process.
    pub fn new() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Whether `--name` is there.
    pub fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    /// The word after `--name`.
    pub fn word(&self, name: &str, default: &str) -> String {
        let place = self.0.iter().position(|argument| argument == name);
        place
            .and_then(|place| self.0.get(place + 1))
            .map_or(default.to_owned(), Clone::clone)
    }

    /// The number after `--name`.
    pub fn number<T: FromStr>(&self, name: &str, default: &str) -> Result<T, Box<dyn Error>> {
        let word = self.word(name, default);
        word.parse()
            .map_err(|_| format!("{name} is `{word}`, expected a number").into())
    }

    /// The set that `--isa` names; the fastest without it.
    pub fn instructions(&self) -> Result<InstructionSet, Box<dyn Error>> {
        let sets = InstructionSet::available();
        let name = self.word("--isa", sets[0].name());
        sets.into_iter()
            .find(|set| set.name() == name)
            .ok_or_else(|| format!("this processor has no instruction set `{name}`").into())
    }

    /// What `--precision` names; f32 without it.
    pub fn arithmetic(&self) -> Result<Arithmetic, Box<dyn Error>> {
        match self.word("--precision", "f32").as_str() {
            "f32" => Ok(Arithmetic::F32),
            "bf16" => Ok(Arithmetic::Bf16),
            _ => Err("--precision is f32 or bf16".into()),
        }
    }

    /// The names that `--isa` takes.
    pub fn instruction_names() -> String {
        let names: Vec<&str> = InstructionSet::available().iter().map(|set| set.name()).collect();
        names.join("|")
    }
}

/// The network of a preset with as many regions, and the side of its images.
pub fn preset(name: &str, regions: usize) -> Result<(Architecture, usize), Box<dyn Error>> {
    let sizes = |base_channels, levels: usize, residual_blocks, attention: &[usize], attention_heads, norm_groups| {
        Architecture {
            base_channels,
            channel_multipliers: (1..=levels).collect(),
            residual_blocks,
            attention_levels: (0..levels).map(|level| attention.contains(&level)).collect(),
            attention_heads,
            attention_head_channels: None,
            resblock_updown: false,
            norm_groups,
            regions,
            classes: 0,
            decoding: Decoding::default(),
        }
    };
    match name {
        "tiny" => Ok((sizes(16, 3, 1, &[2], 2, 8), 32)),
        "small" => Ok((sizes(32, 4, 1, &[3], 2, 8), 64)),
        "paper-64" => Ok((sizes(128, 4, 3, &[2, 3], 4, 32), 64)),
        _ => Err("the preset is tiny, small or paper-64".into()),
    }
}

/// Uniform in -scale..scale.
pub fn random_values(count: usize, scale: f32, state: &mut u64) -> Vec<f32> {
    (0..count)
        .map(|_| {
            *state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((*state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

/// Weights that keep activations at about their size.
pub fn random_weights(parameter: &Parameter, state: &mut u64) -> Vec<f32> {
    let inputs: usize = match parameter.shape.as_slice() {
        [inputs, _] => *inputs,
        [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
        _ => 300,
    };
    let mut values = random_values(parameter.range().len(), (3.0 / inputs as f32).sqrt(), state);
    if parameter.name.ends_with("gamma") {
        values.iter_mut().for_each(|value| *value += 1.0);
    }
    values
}

/// Runs `pass` for so many seconds, three times at least, and prints `milliseconds <of> <minimum> <median> <processor>`:
/// wall clock of the fastest and of the median pass, and the mean processor time of a pass (0 where the system does not
/// tell), which other loads of the machine do not add to.
pub fn measure(
    of: &str,
    seconds: f64,
    mut pass: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let busy = processor_time();
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
        let start = Instant::now();
        pass()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let busy = busy
        .zip(processor_time())
        .map_or(0.0, |(before, after)| (after - before) / times.len() as f64);
    times.sort_by(f64::total_cmp);
    let (least, median) = (times[0], times[times.len() / 2]);
    println!("milliseconds {of} {least:.3} {median:.3} {busy:.3}");
    Ok(())
}

/// Processor time of this process so far, in milliseconds, where the system tells.
fn processor_time() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e6)
}
