use super::*;
use crate::convolution::{Needs, Workspaces};
use crate::source::{Affine, Part};
use crate::testing::Random;

#[test]
fn both_directions_equal_the_naive_ones() {
    let mut random = Random::new(83);
    for set in InstructionSet::available() {
        for case in 0..12 {
            let resampling = if random.flag() {
                Resampling::Halve
            } else {
                Resampling::Double
            };
            let channels = 16 * (random.below(2) + 1);
            let (batch, height, width) = (2, 2 * random.below(4) + 2, 2 * random.below(4) + 2);
            let input = random.values(batch * height * width * channels);
            let (scale, shift) = (random.values(batch * channels), random.values(batch * channels));
            let affine = (case % 3 > 0).then_some(Affine {
                scale: &scale,
                shift: &shift,
                activate: case % 3 > 1,
            });
            let source = Source {
                first: Part { data: &input, channels },
                second: None,
                height,
                width,
                upsample: false,
                affine,
            };
            let (rows, columns) = match resampling {
                Resampling::Halve => (height / 2, width / 2),
                Resampling::Double => (2 * height, 2 * width),
            };
            let mut output = vec![f32::NAN; batch * rows * columns * channels];
            let mut workspaces = Workspaces::new(1, Needs::default());
            resample(set, &mut workspaces.threads, resampling, batch, source, &mut output);
            let at = |item: usize, y: usize, x: usize, channel: usize| {
                let value = f64::from(input[((item * height + y) * width + x) * channels + channel]);
                affine.map_or(value, |affine| {
                    let place = item * channels + channel;
                    let value = value * f64::from(affine.scale[place]) + f64::from(affine.shift[place]);
                    if affine.activate {
                        value / (1.0 + (-value).exp())
                    } else {
                        value
                    }
                })
            };
            for (place, found) in output.iter().enumerate() {
                let (channel, pixel) = (place % channels, place / channels);
                let (x, y, item) = (pixel % columns, pixel / columns % rows, pixel / columns / rows);
                let expected = match resampling {
                    Resampling::Halve => {
                        let sum: f64 = (0..4).map(|i| at(item, 2 * y + i / 2, 2 * x + i % 2, channel)).sum();
                        sum / 4.0
                    }
                    Resampling::Double => at(item, y / 2, x / 2, channel),
                };
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-5,
                    "{} {resampling:?}: {found} for {expected}",
                    set.name()
                );
            }
        }
    }
}
