//! An engine for tests.

use factorseg_model::{Engine, EngineInfo, InputImage, RegionMap, SegmentError, SegmenterOptions};

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
