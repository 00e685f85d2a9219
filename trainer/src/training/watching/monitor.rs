//! Is segmentation happening? Figures of the masks, and the names of what goes wrong.

use serde::{Deserialize, Serialize};

/// Figures of a batch of masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskFigures {
    /// Share of all pixels (soft) that each region takes; sums to 1.
    pub shares: Vec<f64>,
    /// Mean over pixels of the largest probability: `1/K` undecided, 1 decided.
    pub max_probability: f64,
    /// Mean entropy over pixels, 0 decided to 1 undecided.
    pub entropy: f64,
    /// Part of the masks' variance that one mask, the same for all images, explains: 0 content,
    /// 1 position only. An unbiased estimate, so small batches do not look positional; absent when
    /// the masks do not vary or there is only one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positional: Option<f64>,
}

impl MaskFigures {
    /// Figures of masks `[images, regions, pixels]`, flat.
    pub fn of(masks: &[f32], images: usize, regions: usize) -> Self {
        let pixels = masks.len() / (images * regions).max(1);
        let at =
            |image: usize, region: usize, pixel: usize| f64::from(masks[(image * regions + region) * pixels + pixel]);
        let total = (images * pixels).max(1) as f64;
        let mut shares = vec![0.0; regions];
        let (mut largest, mut entropy) = (0.0, 0.0);
        for image in 0..images {
            for pixel in 0..pixels {
                let mut most = 0.0f64;
                for (region, share) in shares.iter_mut().enumerate() {
                    let value = at(image, region, pixel);
                    *share += value;
                    most = most.max(value);
                    if value > 0.0 {
                        entropy -= value * value.ln();
                    }
                }
                largest += most;
            }
        }
        for share in &mut shares {
            *share /= total;
        }
        let scale = if regions > 1 { (regions as f64).ln() } else { 1.0 };
        Self {
            max_probability: largest / total,
            entropy: entropy / total / scale,
            positional: positional(&at, images, regions, pixels, &shares),
            shares,
        }
    }

    /// What is wrong with these masks, in the order of severity.
    pub fn collapses(&self) -> Vec<Collapse> {
        let regions = self.shares.len();
        let mut found = Vec::new();
        if regions < 2 {
            return found;
        }
        let undecided = 1.0 / regions as f64;
        for (region, share) in self.shares.iter().enumerate() {
            if *share > 0.9 {
                found.push(Collapse::OneRegion { region, share: *share });
            } else if *share < 0.01 {
                found.push(Collapse::DeadRegion { region, share: *share });
            }
        }
        if let Some(positional) = self.positional.filter(|p| *p > 0.6)
            && self.max_probability > undecided + 0.1
        {
            found.push(Collapse::Bands { positional });
        }
        if self.max_probability < undecided + 0.01 {
            found.push(Collapse::Uniform {
                max_probability: self.max_probability,
            });
        }
        found
    }
}

fn positional(
    at: &dyn Fn(usize, usize, usize) -> f64,
    images: usize,
    regions: usize,
    pixels: usize,
    shares: &[f64],
) -> Option<f64> {
    if images < 2 || pixels == 0 {
        return None;
    }
    let (mut by_position, mut by_image) = (0.0, 0.0);
    for (region, share) in shares.iter().enumerate().take(regions) {
        for pixel in 0..pixels {
            let mean = (0..images).map(|image| at(image, region, pixel)).sum::<f64>() / images as f64;
            let variance = (0..images)
                .map(|image| (at(image, region, pixel) - mean).powi(2))
                .sum::<f64>()
                / (images - 1) as f64;
            by_image += variance;
            // The mean of few images varies by chance; take that part out.
            by_position += (mean - share).powi(2) - variance / images as f64;
        }
    }
    let by_position = by_position.max(0.0);
    let all = by_position + by_image;
    (all / (pixels * regions) as f64 > 1e-12).then(|| by_position / all)
}

/// A way in which masks stop being a segmentation.
#[derive(Debug, Clone, PartialEq)]
pub enum Collapse {
    /// One region takes nearly everything.
    OneRegion {
        /// Which.
        region: usize,
        /// Its share.
        share: f64,
    },
    /// A region takes nothing.
    DeadRegion {
        /// Which.
        region: usize,
        /// Its share.
        share: f64,
    },
    /// The masks are the same for every image.
    Bands {
        /// The positional share.
        positional: f64,
    },
    /// All regions are equal everywhere.
    Uniform {
        /// Mean largest probability.
        max_probability: f64,
    },
}

impl Collapse {
    /// Whether two are of the same kind (and region).
    pub fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneRegion { region: a, .. }, Self::OneRegion { region: b, .. })
            | (Self::DeadRegion { region: a, .. }, Self::DeadRegion { region: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl std::fmt::Display for Collapse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneRegion { region, share } => write!(
                f,
                "region {} takes {:.0} % of all pixels: the model works as a plain denoiser. Lower mask_generator_factor, \
                 raise masks.temperature, or let regions compete (recipe competition)",
                region + 1,
                share * 100.0
            ),
            Self::DeadRegion { region, share } => write!(
                f,
                "region {} is dead ({:.1} % of all pixels). Restart the phase that released the masks with another --seed, \
                 with fewer regions, or let regions compete (recipe competition)",
                region + 1,
                share * 100.0
            ),
            Self::Bands { positional } => write!(
                f,
                "masks are positional: {:.0} % of their variance is the same for every image. Train the denoiser longer with \
                 mask_head = \"uniform\", release at lower noise (timesteps), and use crop = \"random\"",
                positional * 100.0
            ),
            Self::Uniform { max_probability } => write!(
                f,
                "masks are undecided everywhere (largest probability {max_probability:.2}). If that lasts, raise \
                 mask_generator_factor or the head's std, or lower masks.temperature"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
