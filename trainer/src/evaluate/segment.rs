//! Pictures through the segmenter: resample, segment, bring the regions back to the picture's size.

use anyhow::Result;
use factorseg_model::{Engine, InputImage, RegionMap};
use image::RgbImage;
use image::imageops::{self, FilterType};

/// The picture at the size that the engine asks for, in -1..=1.
pub fn network_input(engine: &dyn Engine, picture: &RgbImage) -> InputImage {
    let (width, height) = engine.input_size(picture.width() as usize, picture.height() as usize);
    let size = (width as u32, height as u32);
    let resampled = if size == picture.dimensions() {
        picture.clone()
    } else {
        imageops::resize(picture, size.0, size.1, FilterType::CatmullRom)
    };
    let data = (0..3)
        .flat_map(|channel| {
            resampled
                .pixels()
                .map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0)
        })
        .collect();
    InputImage { width, height, data }
}

/// Region probabilities of pictures, each at its picture's size: `[K, height, width]`.
///
/// Pictures of the same network size run as one batch.
///
/// # Errors
/// If the engine fails.
pub fn segment(engine: &mut dyn Engine, pictures: &[RgbImage]) -> Result<Vec<RegionMap>> {
    let inputs: Vec<InputImage> = pictures.iter().map(|picture| network_input(engine, picture)).collect();
    let mut maps: Vec<Option<RegionMap>> = vec![None; pictures.len()];
    while let Some(first) = maps.iter().position(Option::is_none) {
        let size = (inputs[first].width, inputs[first].height);
        let alike: Vec<usize> = (first..inputs.len())
            .filter(|i| maps[*i].is_none() && (inputs[*i].width, inputs[*i].height) == size)
            .collect();
        let batch: Vec<InputImage> = alike.iter().map(|i| inputs[*i].clone()).collect();
        for (index, map) in alike.iter().zip(engine.segment(&batch)?) {
            let picture = &pictures[*index];
            maps[*index] = Some(upsample(&map, picture.width() as usize, picture.height() as usize));
        }
    }
    Ok(maps.into_iter().flatten().collect())
}

/// Bilinear resampling of all region masks (pixel centres at half coordinates).
pub fn upsample(map: &RegionMap, width: usize, height: usize) -> RegionMap {
    if (map.width, map.height) == (width, height) {
        return map.clone();
    }
    let (columns, rows) = (weights(map.width, width), weights(map.height, height));
    let mut probabilities = Vec::with_capacity(map.regions * width * height);
    for plane in map.probabilities.chunks_exact(map.width * map.height) {
        for (top, bottom, down) in &rows {
            for (left, right, across) in &columns {
                let row =
                    |y: usize| plane[y * map.width + left] * (1.0 - across) + plane[y * map.width + right] * across;
                probabilities.push(row(*top) * (1.0 - down) + row(*bottom) * down);
            }
        }
    }
    RegionMap {
        regions: map.regions,
        width,
        height,
        probabilities,
    }
}

/// For each target position: two source positions and the second one's weight.
fn weights(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    (0..target)
        .map(|at| {
            let position = ((at as f32 + 0.5) * source as f32 / target as f32 - 0.5).clamp(0.0, (source - 1) as f32);
            let first = position as usize;
            (first, (first + 1).min(source - 1), position - first as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upsampling_is_bilinear_and_keeps_sums() {
        let map = RegionMap {
            regions: 2,
            width: 2,
            height: 1,
            probabilities: vec![0.0, 1.0, 1.0, 0.0],
        };
        let large = upsample(&map, 4, 2);
        assert_eq!(&large.probabilities[..4], [0.0, 0.25, 0.75, 1.0]);
        for pixel in 0..8 {
            assert!((large.probabilities[pixel] + large.probabilities[8 + pixel] - 1.0).abs() < 1e-6);
        }
    }
}
