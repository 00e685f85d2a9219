//! What the masks of a data set say of its object: white on black, or labels of which 0 is the background.
//!
//! One file alone does not tell: a mask of zeros fits everything, and 255 is white in one set and "nobody knows" in another.
//! So all masks are looked at first, and what they are taken for holds for all of them.

use std::collections::BTreeMap;
use std::fmt;

use crate::labels::{LabelMap, Stored};

const BLACK: [u8; 3] = [0; 3];
/// The label of pixels that nobody judged, in 8 bits: Pascal VOC's and what follows it.
const VOID: u16 = 255;
/// Between black and white may lie so much of a set's pixels: soft edges and drawn borders.
const MOST_BETWEEN: f64 = 0.25;

/// What a mask says of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Not the object.
    Background,
    /// The object.
    Object,
    /// Neither: left out.
    Void,
}

/// What grey values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greys {
    /// From three quarters of white on the object, below one quarter background, void between.
    WhiteOnBlack,
    /// 0 is the background and `void` void; the rest is the object.
    Labels { void: Option<u16> },
}

fn white(bits: u8) -> u16 {
    ((1u32 << bits) - 1) as u16
}

/// Which values the masks of a set have.
#[derive(Debug, Default)]
pub struct Survey {
    /// Pixels by bits and value.
    greys: BTreeMap<u8, BTreeMap<u16, u64>>,
    /// Colours of the indices that are used.
    indices: BTreeMap<u16, [u8; 3]>,
    /// Whether there are masks in colours, and one of them has no black.
    colours: Option<bool>,
}

impl Survey {
    /// Looks at a mask.
    ///
    /// # Errors
    /// Says why, if its values mean something else than those of the masks before.
    pub fn add(&mut self, map: &LabelMap) -> Result<(), String> {
        let mut counts = BTreeMap::new();
        for run in map.values.chunk_by(|a, b| a == b) {
            *counts.entry(run[0]).or_insert(0) += run.len() as u64;
        }
        match &map.stored {
            Stored::Grey { .. } | Stored::GreyPalette => {
                let bits = if let Stored::Grey { bits } = map.stored {
                    bits
                } else {
                    8
                };
                let all = self.greys.entry(bits).or_default();
                counts
                    .into_iter()
                    .for_each(|(value, count)| *all.entry(value).or_insert(0) += count);
            }
            Stored::Palette(palette) => {
                for index in counts.into_keys() {
                    let colour = palette[usize::from(index)];
                    let known = *self.indices.entry(index).or_insert(colour);
                    if known != colour {
                        return Err(format!(
                            "index {index} is the colour {colour:?} in its palette and {known:?} in that of another mask: \
                             either may be the label"
                        ));
                    }
                }
            }
            Stored::Colours(colours) => {
                let lacks = !colours.contains(&BLACK);
                self.colours = Some(self.colours.unwrap_or_default() || lacks);
            }
        }
        Ok(())
    }

    /// What the masks are taken for.
    ///
    /// # Errors
    /// Says what is ambiguous, and what would not be.
    pub fn masks(&self) -> Result<Masks, String> {
        let greys: BTreeMap<u8, Greys> = self
            .greys
            .iter()
            .map(|(bits, counts)| Ok((*bits, taken_for(*bits, counts)?)))
            .collect::<Result<_, String>>()?;
        if let Some(first) = self.indices.get(&0).filter(|first| **first != BLACK)
            && let Some((index, _)) = self.indices.iter().find(|(_, colour)| **colour == BLACK)
        {
            return Err(format!(
                "index 0 is the colour {first:?} and index {index} is black: either may be the background; give black \
                 the index 0"
            ));
        }
        if !self.indices.is_empty() && !self.indices.contains_key(&0) {
            return Err("no pixel has the index 0 of the palette: there is no background".into());
        }
        if self.colours == Some(true) {
            return Err(
                "a mask in colours has no black, which is the background of the others; save labels as grey, 0 \
                 being the background"
                    .into(),
            );
        }
        Ok(Masks {
            largest: self
                .greys
                .iter()
                .filter_map(|(bits, counts)| Some((*bits, *counts.keys().next_back()?)))
                .collect(),
            greys,
            palette: self.indices.keys().next_back().copied(),
            colours: self.colours.is_some(),
        })
    }
}

/// What grey values of so many bits mean, from how many pixels have each.
fn taken_for(bits: u8, counts: &BTreeMap<u16, u64>) -> Result<Greys, String> {
    let white = white(bits);
    let quarter = ((u32::from(white) + 1) / 4) as u16;
    let pixels = |of: &dyn Fn(u16) -> bool| -> u64 {
        counts
            .iter()
            .filter(|(value, _)| of(**value))
            .map(|(_, count)| count)
            .sum()
    };
    let has = |of: &dyn Fn(u16) -> bool| counts.keys().any(|value| of(*value));
    let values = || {
        let first: Vec<String> = counts.keys().take(6).map(u16::to_string).collect();
        let more = if counts.len() > 6 { ", ..." } else { "" };
        format!("{}{more}", first.join(", "))
    };
    let whole = pixels(&|_| true).max(1);
    if !has(&|value| value != 0 && value != white) {
        return Ok(Greys::WhiteOnBlack);
    }
    let bright = has(&|value| value >= 3 * quarter && value != white);
    let between = |value: u16| value >= quarter && value < 3 * quarter;
    if !bright && !has(&between) {
        if !counts.contains_key(&0) {
            return Err(format!("the values {} have no 0: which is the background?", values()));
        }
        let labelled = pixels(&|value| value != 0 && value != white);
        if pixels(&|value| value == white) > labelled {
            return Err(format!(
                "of the values {} most of what is not 0 is {white}: it may be the object or void; save the object as \
                 {white} alone, or as 1 with less {white}",
                values()
            ));
        }
        let void = counts.contains_key(&white).then_some(white);
        return Ok(Greys::Labels { void });
    }
    if has(&|value| value >= 3 * quarter) {
        let share = pixels(&between) as f64 / whole as f64;
        if !has(&|value| value < quarter) || share > MOST_BETWEEN {
            return Err(format!(
                "{:.0} % of the pixels lie between black and white ({}): neither a mask nor labels of a few objects",
                100.0 * share,
                values()
            ));
        }
        return Ok(Greys::WhiteOnBlack);
    }
    if counts.len() == 2 && counts.contains_key(&0) {
        return Ok(Greys::Labels { void: None });
    }
    Err(format!(
        "the values {} are neither white on black nor labels of a few objects (0 to {})",
        values(),
        quarter - 1
    ))
}

/// What the masks of a set are taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masks {
    greys: BTreeMap<u8, Greys>,
    largest: BTreeMap<u8, u16>,
    /// The largest index that is used.
    palette: Option<u16>,
    colours: bool,
}

impl Masks {
    /// What a mask of the set says, `[height, width]`.
    pub fn marks(&self, map: &LabelMap) -> Vec<Mark> {
        let labels = |void: Option<u16>| {
            move |value: u16| match value {
                0 => Mark::Background,
                value if Some(value) == void => Mark::Void,
                _ => Mark::Object,
            }
        };
        let all = |mark: &dyn Fn(u16) -> Mark| map.values.iter().map(|value| mark(*value)).collect();
        match &map.stored {
            Stored::Palette(_) => all(&labels(Some(VOID))),
            Stored::Colours(colours) => {
                let black = colours
                    .iter()
                    .position(|colour| *colour == BLACK)
                    .map(|number| number as u16);
                let mark = |value| {
                    if Some(value) == black {
                        Mark::Background
                    } else {
                        Mark::Object
                    }
                };
                all(&mark)
            }
            Stored::Grey { .. } | Stored::GreyPalette => {
                let bits = if let Stored::Grey { bits } = map.stored {
                    bits
                } else {
                    8
                };
                match self.greys.get(&bits).unwrap_or(&Greys::WhiteOnBlack) {
                    Greys::Labels { void } => all(&labels(*void)),
                    Greys::WhiteOnBlack => {
                        let (white, quarter) = (u32::from(white(bits)), (u32::from(white(bits)) + 1) / 4);
                        all(&|value| match u32::from(value) {
                            value if value == white || value >= 3 * quarter && quarter > 0 => Mark::Object,
                            value if value == 0 || value < quarter => Mark::Background,
                            _ => Mark::Void,
                        })
                    }
                }
            }
        }
    }
}

impl fmt::Display for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for (bits, greys) in &self.greys {
            let largest = self.largest.get(bits).copied().unwrap_or(0);
            lines.push(match greys {
                Greys::WhiteOnBlack => format!("grey of {bits} bits, white ({}) is the object", white(*bits)),
                Greys::Labels { void: None } => {
                    format!("labels in grey of {bits} bits, 1 to {largest} are the object")
                }
                Greys::Labels { void: Some(void) } => {
                    format!("labels in grey of {bits} bits, 0 is the background, {void} void, the others the object")
                }
            });
        }
        match self.palette {
            Some(VOID) => {
                lines.push("indices of a palette, 0 is the background, 255 void, the others the object".into())
            }
            Some(_) => lines.push("indices of a palette, 0 is the background, the others the object".into()),
            None => {}
        }
        if self.colours {
            lines.push("colours, black is the background, the others the object".into());
        }
        f.write_str(&lines.join("; "))
    }
}
