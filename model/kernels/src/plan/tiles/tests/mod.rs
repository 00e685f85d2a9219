use super::*;
use crate::network::{Architecture, Decoding, Layer, Network, Reads};

/// The first three are the levels of `paper-64`.
#[test]
fn winograd_is_for_many_pixels_and_channels() {
    let winograd = |size, channels| in_tiles(1, size, size, channels, channels) == Method::Winograd(4);
    assert!(winograd(64, 128) && winograd(32, 256));
    assert!(!winograd(16, 384) && !winograd(8, 512));
    assert!(!winograd(64, 32) && !winograd(64, 48));
}

/// Of all 3x3 convolutions of stride 1: products, bytes of weights, and instructions.
#[derive(Default)]
struct Work {
    products: f64,
    bytes: f64,
    instructions: f64,
}

impl Work {
    fn add(&mut self, method: Method, size: usize, inputs: usize, outputs: usize) {
        // Rows of the left-hand side that are multiplied at a time, and how often.
        let (points, rows, blocks) = match method {
            Method::Winograd(side) => {
                let tiles = size.div_ceil(side).pow(2);
                ((side + 2) * (side + 2), tiles.min(32), tiles.div_ceil(32))
            }
            Method::Patches { .. } => {
                let lines = size.min(512 / size);
                (9, lines * (size + 2) - 2, size.div_ceil(lines))
            }
        };
        let places = if method.side() == 1 { size * size } else { rows * blocks };
        let tiles = rows.div_ceil(16) * inputs.div_ceil(32) * (outputs / 16);
        self.products += (points * places * inputs * outputs) as f64;
        self.bytes += (2 * points * inputs * outputs) as f64;
        self.instructions += (points * blocks * tiles) as f64;
    }
}

/// What a pass through `paper-64` takes: with all convolutions direct, with Winograd's tiles as vectors have them, and as
/// chosen, which has to keep most of both advantages.
#[test]
fn the_papers_network_has_few_products_and_few_bytes() {
    let network = Network::new(&Architecture {
        base_channels: 128,
        channel_multipliers: vec![1, 2, 3, 4],
        residual_blocks: 3,
        attention_levels: vec![false, false, true, true],
        attention_heads: 4,
        attention_head_channels: None,
        resblock_updown: false,
        norm_groups: 32,
        regions: 2,
        classes: 0,
        decoding: Decoding::default(),
    });
    let [mut direct, mut winograd, mut chosen] = [(); 3].map(|()| Work::default());
    for layer in network.encoder.iter().chain(&network.mask_generator) {
        let Layer::Convolution(layer) = layer else { continue };
        if (layer.kernel, layer.stride) != (3, 1) || matches!(layer.reads, Reads::Image) {
            continue;
        }
        let size = 64 >> network.tensors[layer.output].level;
        let (inputs, outputs) = (layer.layout.inputs.len(), layer.layout.outputs.len());
        let patches = in_tiles(1, 1, 1, inputs, outputs);
        direct.add(patches, size, inputs, outputs);
        winograd.add(Method::Winograd(if size < 16 { 2 } else { 4 }), size, inputs, outputs);
        chosen.add(in_tiles(1, size, size, inputs, outputs), size, inputs, outputs);
    }
    for (name, work) in [("direct", &direct), ("Winograd's", &winograd), ("chosen", &chosen)] {
        println!(
            "{name}: {:.1} G products, {:.0} MB of weights, {:.2} M instructions",
            work.products / 1e9,
            work.bytes / 1e6,
            work.instructions / 1e6
        );
    }
    assert!(chosen.products < 0.5 * direct.products && chosen.bytes < 0.6 * winograd.bytes);
}
