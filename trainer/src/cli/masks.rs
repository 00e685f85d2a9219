//! What `segment` writes of a picture.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use factorseg_model::RegionMap;
use factorseg_refine::outline::runs;
use image::{GrayImage, RgbImage};
use serde_json::json;

use crate::evaluate::assignment::labels;
use crate::training::watching::pictures::REGION_COLOURS;

/// A kind of mask. Regions count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// NAME.regions.png: a colour for each region; the palette's indices are the regions
    Palette,
    /// NAME.ids.png: grey values are the regions, nearly black to the eye
    Ids,
    /// NAME.mask.png: white where the foreground is
    Binary,
    /// NAME.rle.json: a run-length encoding of each region, as COCO's (columns, from the top left)
    Rle,
}

/// Where masks go, and which.
#[derive(Debug)]
pub struct MaskWriter<'a> {
    /// Folder for all files.
    pub folder: &'a Path,
    /// Kinds of masks.
    pub formats: &'a [Format],
    /// Regions of the foreground, as indices.
    pub foreground: &'a [usize],
    /// Opacity of the regions in the overlay.
    pub alpha: f32,
    /// Whether each region's probability is written.
    pub soft: bool,
}

/// What was written of a picture.
#[derive(Debug)]
pub struct Written {
    /// All files.
    pub files: Vec<PathBuf>,
    /// Share of the picture that each region takes.
    pub shares: Vec<f64>,
}

impl MaskWriter<'_> {
    /// Writes the masks of `picture`, and its overlay, as NAME.*.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, name: &str, picture: &RgbImage, map: &RegionMap) -> Result<Written> {
        let (width, height) = picture.dimensions();
        let regions = labels(&map.probabilities, map.regions);
        let mut files = Vec::new();
        let mut put = |ending: &str, write: &dyn Fn(&Path) -> Result<()>| {
            let path = self.folder.join(format!("{name}.{ending}"));
            write(&path).with_context(|| format!("cannot write {}", path.display()))?;
            files.push(path);
            Ok::<_, anyhow::Error>(())
        };
        let grey = |value: &dyn Fn(usize) -> u8| {
            GrayImage::from_fn(width, height, |x, y| image::Luma([value((y * width + x) as usize)]))
        };
        for format in self.formats {
            match format {
                Format::Palette => put("regions.png", &|path| {
                    palette(path, (width, height), &regions, map.regions)
                })?,
                Format::Ids => put("ids.png", &|path| Ok(grey(&|at| regions[at] + 1).save(path)?))?,
                Format::Binary => put("mask.png", &|path| {
                    let inside = |at: usize| self.foreground.contains(&usize::from(regions[at]));
                    Ok(grey(&|at| if inside(at) { 255 } else { 0 }).save(path)?)
                })?,
                Format::Rle => put("rle.json", &|path| {
                    let one = |region: usize| {
                        json!({
                            "region": region + 1, "foreground": self.foreground.contains(&region),
                            "size": [height, width], "counts": runs(&regions, width as usize, region as u8),
                        })
                    };
                    let all: Vec<_> = (0..map.regions).map(one).collect();
                    Ok(fs::write(path, json!({ "regions": all }).to_string())?)
                })?,
            }
        }
        let mut overlay = picture.clone();
        for (pixel, region) in overlay.pixels_mut().zip(&regions) {
            for (value, tint) in pixel.0.iter_mut().zip(colour(usize::from(*region))) {
                *value = (f32::from(*value) * (1.0 - self.alpha) + f32::from(tint) * self.alpha).round() as u8;
            }
        }
        put("overlay.png", &|path| Ok(overlay.save(path)?))?;
        let pixels = map.width * map.height;
        for region in (0..map.regions).filter(|_| self.soft) {
            let plane = &map.probabilities[region * pixels..(region + 1) * pixels];
            let soft = grey(&|at| (plane[at].clamp(0.0, 1.0) * 255.0).round() as u8);
            put(&format!("region-{}.png", region + 1), &|path| Ok(soft.save(path)?))?;
        }
        let count = |region: usize| regions.iter().filter(|one| usize::from(**one) == region).count();
        let shares = (0..map.regions).map(|region| count(region) as f64 / regions.len().max(1) as f64);
        Ok(Written {
            shares: shares.collect(),
            files,
        })
    }
}

fn colour(region: usize) -> [u8; 3] {
    REGION_COLOURS[region % REGION_COLOURS.len()]
}

/// A picture whose indices are the regions from 1, and whose colours can be seen.
fn palette(path: &Path, (width, height): (u32, u32), regions: &[u8], count: usize) -> Result<()> {
    let ids: Vec<u8> = regions.iter().map(|region| region + 1).collect();
    let mut colours = vec![0; 3];
    colours.extend((0..count).flat_map(colour));
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(colours);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&ids)?;
    Ok(writer.finish()?)
}
