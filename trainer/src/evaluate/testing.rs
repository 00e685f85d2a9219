//! An engine and a data set for tests.

use std::fs;

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// Segments by colour at the picture's own size: red, green, and the rest. Notes the sizes that it sees.
pub struct ByColour {
    info: EngineInfo,
    pub sizes: Vec<(usize, usize)>,
}

impl ByColour {
    pub fn new() -> Self {
        Self {
            info: EngineInfo {
                regions: 3,
                foreground_regions: vec![1],
                ..EngineInfo::default()
            },
            sizes: Vec::new(),
        }
    }
}

impl Engine for ByColour {
    fn input_size(&self, width: usize, height: usize) -> (usize, usize) {
        (width, height)
    }
    fn segment(&mut self, images: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        self.sizes
            .extend(images.iter().map(|image| (image.width, image.height)));
        Ok(images
            .iter()
            .map(|image| {
                let pixels = image.width * image.height;
                let region = |pixel: usize| (0..2).find(|c| image.data[c * pixels + pixel] > 0.5).unwrap_or(2);
                let probabilities = (0..3)
                    .flat_map(|r| (0..pixels).map(move |p| if region(p) == r { 1.0 } else { 0.0 }))
                    .collect();
                RegionMap {
                    regions: 3,
                    width: image.width,
                    height: image.height,
                    probabilities,
                }
            })
            .collect())
    }
    fn set_options(&mut self, _: &SegmenterOptions) -> Result<(), SegmentError> {
        Ok(())
    }
    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

/// Pictures of a size with the maps of their pixels in the folder `maps`: `pixel` says of each picture and place both.
pub fn pairs(maps: &str, count: u32, size: (u32, u32), pixel: fn(u32, u32, u32) -> ([u8; 3], u8)) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for part in ["images", maps] {
        fs::create_dir(data.path().join(part)).unwrap();
    }
    let (width, height) = size;
    for i in 0..count {
        let place = |part: &str| data.path().join(format!("{part}/{i:02}.png"));
        RgbImage::from_fn(width, height, |x, y| Rgb(pixel(i, x, y).0))
            .save(place("images"))
            .unwrap();
        GrayImage::from_fn(width, height, |x, y| Luma([pixel(i, x, y).1]))
            .save(place(maps))
            .unwrap();
    }
    data
}

/// Two sequences of five frames: a red or green box of 8 by 8 that moves by `step` pixels over 48 by 32.
pub fn davis_layout(step: u32) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, colour) in [("green", [0, 255, 0]), ("red", [255, 0, 0])] {
        let folder = |part: &str| {
            let folder = root.path().join(part).join("480p").join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (pictures, annotations) = (folder("JPEGImages"), folder("Annotations"));
        for i in 0..5 {
            let inside = |x: u32, y: u32| (10 + i * step..18 + i * step).contains(&x) && (12..20).contains(&y);
            RgbImage::from_fn(48, 32, |x, y| Rgb(if inside(x, y) { colour } else { [0, 0, 9] }))
                .save(pictures.join(format!("{i:05}.png")))
                .unwrap();
            GrayImage::from_fn(48, 32, |x, y| Luma([u8::from(inside(x, y)) * 255]))
                .save(annotations.join(format!("{i:05}.png")))
                .unwrap();
        }
    }
    root
}
