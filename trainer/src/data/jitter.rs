//! Other colours for the same picture, so that a network cannot go by colours alone.

use rand::Rng;

/// A change of all colours of a picture: towards grey or away from it, then another gain and offset for each channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// How far towards the luma, 1 for a grey picture.
    grey: f32,
    gain: [f32; 3],
    offset: [f32; 3],
}

/// Share of pictures that lose their colours, whatever the strength, unless that is 0.
const GREY_SHARE: f32 = 0.1;
/// Rec. 601.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl Jitter {
    /// A random change; strength 0 is none, and at 1 contrast varies by half, brightness by 0.3 (of values from -1 to 1),
    /// each channel's gain by a quarter and its offset by 0.15.
    pub fn random(strength: f32, chance: &mut impl Rng) -> Self {
        let mut vary = |size: f32| strength * size * (chance.random::<f32>() * 2.0 - 1.0);
        let (contrast, brightness) = (1.0 + vary(0.5), vary(0.3));
        let gain = std::array::from_fn(|_| contrast * (1.0 + vary(0.25)));
        let offset = std::array::from_fn(|_| brightness + vary(0.15));
        let towards_grey = vary(0.5).max(-0.3 * strength);
        let all_grey = strength > 0.0 && chance.random::<f32>() < GREY_SHARE;
        Self {
            grey: if all_grey { 1.0 } else { towards_grey },
            gain,
            offset,
        }
    }

    /// Changes a planar picture `[3, pixels]` with values from -1 to 1, which they stay.
    pub fn apply(&self, picture: &mut [f32]) {
        let pixels = picture.len() / 3;
        for pixel in 0..pixels {
            let colors: [f32; 3] = std::array::from_fn(|channel| picture[channel * pixels + pixel]);
            let luma: f32 = colors.iter().zip(LUMA).map(|(color, weight)| color * weight).sum();
            for (channel, color) in colors.into_iter().enumerate() {
                let color = color + self.grey * (luma - color);
                picture[channel * pixels + pixel] =
                    (color * self.gain[channel] + self.offset[channel]).clamp(-1.0, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
