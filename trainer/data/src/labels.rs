//! Maps of labels: pictures whose values mean classes or objects, not colours. They are read as they are stored, because a
//! decoder of pictures would turn an index into its colour and 16 bits into 8.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageError, RgbImage};
use png::{BitDepth, ColorType, Transformations};

use crate::picture::{DecodeError, decode_picture, read_file};

/// Most pixels of a map.
const MOST_PIXELS: u64 = 256 << 20;
/// Most colours that may be labels; a drawing with soft edges has more.
const MOST_COLOURS: usize = 256;
/// How far the three values of a grey may be apart that a lossy format coded as a colour.
const NEARLY_GREY: u8 = 8;

/// How the labels are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Grey values of so many bits.
    Grey {
        /// 1, 2, 4, 8 or 16.
        bits: u8,
    },
    /// Greys in a palette, whose indices are other numbers than the greys; the labels are the greys.
    GreyPalette,
    /// Indices into a palette of colours.
    Palette(Vec<[u8; 3]>),
    /// Colours, numbered in the order in which they come.
    Colours(Vec<[u8; 3]>),
}

/// A map of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[height, width]`.
    pub values: Vec<u16>,
    /// What the values are.
    pub stored: Stored,
}

impl LabelMap {
    /// Reads the map in a file.
    ///
    /// # Errors
    /// As [`crate::picture::open_picture`], and if it holds no labels: part of it is transparent, or it has too many colours.
    pub fn open(path: &Path) -> Result<Self, DecodeError> {
        Self::decode(&read_file(path)?)
    }

    /// As [`LabelMap::open`], from the bytes of a file.
    ///
    /// # Errors
    /// As [`LabelMap::open`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let map = if bytes.starts_with(b"\x89PNG") {
            of_png(bytes)?
        } else {
            of_picture(decode_picture(bytes)?)?
        };
        Ok(map.without_grey_palette())
    }

    /// A palette of greys is a way to store greys, unless its indices are the greys.
    fn without_grey_palette(mut self) -> Self {
        let Stored::Palette(palette) = &self.stored else {
            return self;
        };
        let mut used = [false; 256];
        self.values
            .iter()
            .for_each(|value| used[usize::from(*value) & 255] = true);
        let colours = || palette.iter().enumerate().filter(|(index, _)| used[*index]);
        if !colours().all(|(_, [r, g, b])| r == g && g == b) {
            return self;
        }
        let same = colours().all(|(index, [grey, ..])| index == usize::from(*grey));
        let greys: Vec<u16> = palette.iter().map(|[grey, ..]| u16::from(*grey)).collect();
        self.values
            .iter_mut()
            .for_each(|value| *value = greys[usize::from(*value)]);
        self.stored = if same {
            Stored::Grey { bits: 8 }
        } else {
            Stored::GreyPalette
        };
        self
    }
}

fn png_error(error: png::DecodingError) -> DecodeError {
    match error {
        png::DecodingError::IoError(error) => ImageError::IoError(error).into(),
        png::DecodingError::LimitsExceeded => DecodeError::TooLarge("its chunks".into()),
        other => DecodeError::Decode(ImageError::Decoding(image::error::DecodingError::new(
            image::ImageFormat::Png.into(),
            other,
        ))),
    }
}

fn of_png(bytes: &[u8]) -> Result<LabelMap, DecodeError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(png_error)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    if u64::from(info.width) * u64::from(info.height) > MOST_PIXELS {
        return Err(DecodeError::TooLarge(format!("{width} x {height} pixels")));
    }
    let (colour, depth) = (info.color_type, info.bit_depth);
    let palette: Vec<[u8; 3]> = info.palette.iter().flat_map(|all| all.as_chunks().0).copied().collect();
    // Colours, and what is transparent, are judged as a picture.
    if !matches!(colour, ColorType::Grayscale | ColorType::Indexed) {
        return of_picture(decode_picture(bytes)?);
    }
    let size = reader
        .output_buffer_size()
        .ok_or(DecodeError::TooLarge("its rows".into()))?;
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(png_error)?;
    let rows = data.chunks_exact(frame.line_size.max(1)).take(height);
    let values: Vec<u16> = rows.flat_map(|row| unpacked(row, depth, width)).collect();
    let stored = if colour == ColorType::Grayscale {
        Stored::Grey { bits: depth as u8 }
    } else {
        if values.iter().any(|value| usize::from(*value) >= palette.len()) {
            return Err(DecodeError::NoLabels("an index lies outside of the palette"));
        }
        Stored::Palette(palette)
    };
    Ok(LabelMap {
        width,
        height,
        values,
        stored,
    })
}

/// The samples of a row, which lie packed in bytes from the highest bit on.
fn unpacked(row: &[u8], depth: BitDepth, width: usize) -> Vec<u16> {
    let bits = depth as usize;
    match depth {
        BitDepth::Sixteen => row.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
        BitDepth::Eight => row.iter().map(|value| u16::from(*value)).collect(),
        _ => {
            let sample = |x: usize| row[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
            (0..width).map(|x| u16::from(sample(x))).collect()
        }
    }
}

fn of_picture(picture: DynamicImage) -> Result<LabelMap, DecodeError> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if picture.color().has_alpha() && picture.to_rgba16().pixels().any(|pixel| pixel.0[3] != u16::MAX) {
        return Err(DecodeError::NoLabels(
            "part of it is transparent; save it without transparency",
        ));
    }
    let deep = matches!(
        picture.color(),
        image::ColorType::L16 | image::ColorType::La16 | image::ColorType::Rgb16
    );
    let (values, stored) = if deep || !picture.color().has_color() {
        let grey = Stored::Grey {
            bits: if deep { 16 } else { 8 },
        };
        match picture {
            picture if deep && !picture.color().has_color() => (picture.into_luma16().into_raw(), grey),
            picture if deep => {
                let rgb = picture.into_rgb16();
                if rgb
                    .pixels()
                    .any(|pixel| pixel.0[0] != pixel.0[1] || pixel.0[1] != pixel.0[2])
                {
                    return Err(DecodeError::NoLabels(
                        "it has colours of 16 bits; save it as grey or with a palette",
                    ));
                }
                (rgb.pixels().map(|pixel| pixel.0[0]).collect(), grey)
            }
            picture => (
                picture.into_luma8().into_raw().into_iter().map(u16::from).collect(),
                grey,
            ),
        }
    } else {
        of_colours(&picture.into_rgb8())?
    };
    Ok(LabelMap {
        width,
        height,
        values,
        stored,
    })
}

/// The greys of a picture that has no other colours, or the numbers of its colours.
fn of_colours(picture: &RgbImage) -> Result<(Vec<u16>, Stored), DecodeError> {
    let nearly_grey = |[r, g, b]: [u8; 3]| r.max(g).max(b) - r.min(g).min(b) <= NEARLY_GREY;
    if picture.pixels().all(|pixel| nearly_grey(pixel.0)) {
        let values = picture.pixels().map(|pixel| u16::from(pixel.0[1])).collect();
        return Ok((values, Stored::Grey { bits: 8 }));
    }
    let (mut numbers, mut colours) = (HashMap::new(), Vec::new());
    let mut values = Vec::with_capacity(picture.width() as usize * picture.height() as usize);
    for pixel in picture.pixels() {
        let number = *numbers.entry(pixel.0).or_insert_with(|| {
            colours.push(pixel.0);
            colours.len() - 1
        });
        if colours.len() > MOST_COLOURS {
            return Err(DecodeError::NoLabels(
                "it has more than 256 colours, as a photograph or a drawing with soft edges; save it as grey",
            ));
        }
        values.push(number as u16);
    }
    Ok((values, Stored::Colours(colours)))
}
