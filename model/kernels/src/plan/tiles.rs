//! How a 3x3 convolution is computed where matrix tiles multiply.

use crate::convolution::Method;

/// Products that a core's tiles compute while it reads a weight from memory: 512 a cycle of its clock, 8 bytes.
const PRODUCTS_A_WEIGHT: f64 = 128.0;

/// Products that they compute while the vectors map a pixel of one channel to Winograd's points and round it there, or map
/// one back: 16 channels of a tile of 4x4 pixels take 200 instructions in, 110 and 36 loads out, two of them in a cycle.
const PRODUCTS_A_MAPPING: f64 = 190.0;

/// Direct, or by F(4x4, 3x3): what costs less for outputs [batch, height, width], in products for each pair of channels. Tiles
/// make products so cheap that what goes on beside them decides: direct convolution reads the fewest weights and maps
/// nothing. It is also the more exact one.
pub(crate) fn in_tiles(batch: usize, height: usize, width: usize, inputs: usize, outputs: usize) -> Method {
    let pixels = (batch * height * width) as f64;
    let tiles = (batch * height.div_ceil(4) * width.div_ceil(4)) as f64;
    let direct = 9.0 * (pixels + PRODUCTS_A_WEIGHT);
    let mapping = PRODUCTS_A_MAPPING * 16.0 * tiles * (1.0 / inputs as f64 + 1.0 / outputs as f64);
    if 36.0 * (tiles + PRODUCTS_A_WEIGHT) + mapping < direct {
        Method::Winograd(4)
    } else {
        Method::Patches {
            kernel: 3,
            stride: 1,
            padding: 1,
        }
    }
}

#[cfg(test)]
mod tests;
