//! What the user asks for, and what it means for a certain engine.

use std::sync::Arc;

use factorseg_model::{
    CheckpointSource, ClassError, DEFAULT_TIMESTEP, DeviceError, EngineInfo, LoadOptions, SegmenterOptions, find_class,
};

use super::choices::Overlay;
use super::properties::Settings;
use crate::engine::request::EngineRequest;
use crate::pixels::colorimetry::{Rgb, rgb};

/// Colours of the regions where the user gives none, told apart by most people with colour-blindness
/// (Okabe and Ito).
pub const PALETTE: [u32; 8] = [
    0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2, 0xd55e00, 0xcc79a7, 0xffffff,
];

/// A property whose value makes no sense, alone or for the model that is loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("property device: {0}")]
    Device(#[from] DeviceError),
    #[error("property target-class: {0}")]
    Class(#[from] ClassError),
    #[error("property timestep: {value} is above the model's {timesteps}")]
    Timestep { value: u32, timesteps: usize },
    #[error("property colors: `{0}` is no colour; use RRGGBB in hexadecimal, separated by commas")]
    Color(String),
    #[error(
        "property foreground-regions: `{word}` is no region; use auto, all, or numbers from 1 to {regions} separated by commas"
    )]
    Region { word: String, regions: usize },
}

/// The settings, understood for one engine: all that the streaming thread needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What counts as it was set.
    pub settings: Settings,
    /// For the engine.
    pub options: SegmenterOptions,
    /// Name of the class.
    pub class: Arc<str>,
    /// Colours of the regions, in turn.
    pub colors: Vec<Rgb>,
    /// Colour behind a cut-out.
    pub background: Rgb,
    /// Its opacity in formats that have one, `0..=1`.
    pub opacity: f32,
    /// For each region, whether it is foreground.
    pub foreground: Vec<bool>,
}

impl Plan {
    /// Whether motion judges the masks: where everything is the object, or nothing, there is nothing to judge.
    pub fn follows_motion(&self) -> bool {
        self.settings.motion_model && self.foreground.contains(&true) && self.foreground.contains(&false)
    }
}

impl Settings {
    /// The engine that `model`, `device`, `precision` and `threads` name.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn engine(&self) -> Result<EngineRequest, SettingsError> {
        Ok(EngineRequest {
            model: CheckpointSource::from_path(self.model.as_str()),
            how: LoadOptions {
                device: self.device.trim().parse()?,
                precision: self.precision.into(),
                threads: match self.threads {
                    0 => default_threads(std::thread::available_parallelism().map_or(1, usize::from)),
                    threads => threads as usize,
                },
            },
        })
    }

    /// Whether a cut-out is to be seen through.
    pub fn wants_alpha(&self) -> bool {
        self.overlay == Overlay::Foreground && self.background_color >> 24 < 0xff
    }

    /// What the settings mean for an engine.
    ///
    /// # Errors
    /// Names the property that makes no sense.
    pub fn plan(&self, engine: &EngineInfo) -> Result<Plan, SettingsError> {
        let (plan, wrong) = self.plan_after(engine, None);
        wrong.into_iter().next().map_or(Ok(plan), Err)
    }

    /// What the settings mean for an engine, and which make no sense: these stay as in the `last` plan for this engine, or
    /// are as by default.
    pub fn plan_after(&self, engine: &EngineInfo, last: Option<&Plan>) -> (Plan, Vec<SettingsError>) {
        let mut wrong = Vec::new();
        let class = find_class(&engine.classes, &self.target_class).unwrap_or_else(|error| {
            wrong.push(error.into());
            last.and_then(|last| last.options.class)
        });
        let mut timestep = self.timestep as usize;
        if timestep > engine.timesteps {
            wrong.push(SettingsError::Timestep {
                value: self.timestep,
                timesteps: engine.timesteps,
            });
            let stays = last.map_or(DEFAULT_TIMESTEP, |last| last.options.timestep);
            timestep = stays.min(engine.timesteps);
        }
        let colors = parse_colors(&self.colors).unwrap_or_else(|error| {
            wrong.push(error);
            last.map_or_else(|| PALETTE.map(rgb).to_vec(), |last| last.colors.clone())
        });
        let foreground = parse_regions(&self.foreground_regions, engine).unwrap_or_else(|error| {
            wrong.push(error);
            last.map_or_else(|| own_regions(engine), |last| last.foreground.clone())
        });
        let plan = Plan {
            settings: self.clone(),
            options: SegmenterOptions {
                class,
                timestep,
                seed: self.seed,
                samples: self.samples as usize,
                color_model: self.color_model,
                fill_holes: self.fill_holes.into(),
            },
            class: class.map_or("none", |index| &engine.classes[index].name).into(),
            colors,
            background: rgb(self.background_color),
            opacity: (self.background_color >> 24) as f32 / 255.0,
            foreground,
        };
        (plan, wrong)
    }
}

/// Threads of the network on a machine of so many cores; 0 for one per core. Decoders, drawing and sinks get one where it costs
/// the network a quarter at most.
fn default_threads(cores: usize) -> usize {
    if cores < 4 { 0 } else { cores - 1 }
}

/// The words of a list. A preset that GStreamer has saved comes back with a backslash before each comma.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(|word| word.trim_end_matches('\\').trim())
}

fn parse_colors(text: &str) -> Result<Vec<Rgb>, SettingsError> {
    if text.trim().is_empty() {
        return Ok(PALETTE.map(rgb).to_vec());
    }
    words(text)
        .map(|word| {
            let digits = word.trim_start_matches('#').trim_start_matches("0x");
            u32::from_str_radix(digits, 16)
                .ok()
                .filter(|_| digits.len() == 6)
                .map(rgb)
                .ok_or_else(|| SettingsError::Color(word.to_owned()))
        })
        .collect()
}

fn parse_regions(text: &str, engine: &EngineInfo) -> Result<Vec<bool>, SettingsError> {
    let regions = engine.regions;
    match text.trim() {
        "all" => Ok(vec![true; regions]),
        "auto" | "" => Ok(own_regions(engine)),
        text => {
            let mut chosen = vec![false; regions];
            for word in words(text) {
                let region = word
                    .parse::<usize>()
                    .ok()
                    .filter(|region| (1..=regions).contains(region))
                    .ok_or_else(|| SettingsError::Region {
                        word: word.to_owned(),
                        regions,
                    })?;
                chosen[region - 1] = true;
            }
            Ok(chosen)
        }
    }
}

/// The regions that the model says are its object; one that does not know it shows every region.
fn own_regions(engine: &EngineInfo) -> Vec<bool> {
    match engine.foreground_regions.as_slice() {
        [] => vec![true; engine.regions],
        _ => engine.is_foreground(),
    }
}

#[cfg(test)]
mod tests;
