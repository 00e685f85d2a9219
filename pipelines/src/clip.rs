//! The demonstration clip: a camera that pans and zooms over a photograph.

use image::RgbImage;

/// Frame size of the clip, in pixels.
pub const SIZE: (u32, u32) = (640, 360);

/// Frames per second of the clip.
pub const FRAME_RATE: u32 = 25;

/// Number of frames: three seconds.
pub const FRAMES: u32 = 75;

const PHOTOGRAPH: &[u8] = include_bytes!("../media/cat.jpg");

/// Decodes the photograph.
///
/// # Errors
/// If the linked JPEG decoder refuses it.
pub fn photograph() -> image::ImageResult<RgbImage> {
    Ok(image::load_from_memory(PHOTOGRAPH)?.to_rgb8())
}

/// Frame `index` of [`FRAMES`], RGB, of [`SIZE`]: the window shrinks from the whole picture to 60 % of it and moves
/// once around its centre.
pub fn frame(photograph: &RgbImage, index: u32) -> RgbImage {
    let (width, height) = (photograph.width() as f32, photograph.height() as f32);
    let progress = index as f32 / (FRAMES - 1) as f32;
    let eased = progress * progress * (3.0 - 2.0 * progress);
    let aspect = SIZE.0 as f32 / SIZE.1 as f32;
    let window_width = width.min(height * aspect) * (1.0 - 0.4 * eased);
    let window_height = window_width / aspect;
    let angle = std::f32::consts::TAU * progress;
    let left = (width - window_width) * (0.5 + 0.5 * eased * angle.sin());
    let top = (height - window_height) * (0.5 - 0.3 * eased * angle.cos());

    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let x = (left + (x as f32 + 0.5) * window_width / SIZE.0 as f32) / width;
        let y = (top + (y as f32 + 0.5) * window_height / SIZE.1 as f32) / height;
        image::imageops::sample_bilinear(photograph, x.clamp(0.0, 1.0), y.clamp(0.0, 1.0)).unwrap_or(image::Rgb([0; 3]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_moves_and_shows_the_photograph() {
        let photograph = photograph().unwrap();
        let frames = [0, 30, FRAMES - 1].map(|index| frame(&photograph, index));
        let mean =
            |image: &RgbImage| image.as_raw().iter().map(|&v| v as f64).sum::<f64>() / image.as_raw().len() as f64;
        for frame in &frames {
            assert_eq!(frame.dimensions(), SIZE);
            assert!((mean(frame) - mean(&photograph)).abs() < 20.0);
        }
        assert_ne!(frames[0], frames[1]);
        assert_ne!(frames[1], frames[2]);
    }
}
