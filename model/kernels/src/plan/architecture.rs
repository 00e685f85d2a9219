//! The sizes of a network.

use crate::KernelError;

/// What a plan needs to know of a network's sizes, finest level first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// Channels C of the first convolution; the embedding has 4C.
    pub base_channels: usize,
    /// Channels of each level, as multiples of C.
    pub channel_multipliers: Vec<usize>,
    /// Residual blocks of each level of the encoder; a level of the mask generator has one more.
    pub residual_blocks: usize,
    /// Whether each level has self-attention. The middle always has.
    pub attention_levels: Vec<bool>,
    /// Heads of every attention, where they are counted.
    pub attention_heads: usize,
    /// Channels of every head, in place of a number of heads.
    pub attention_head_channels: Option<usize>,
    /// Whether residual blocks change the resolution, in place of convolutions alone.
    pub resblock_updown: bool,
    /// Groups of every group normalisation.
    pub norm_groups: usize,
    /// Regions K.
    pub regions: usize,
}

impl Architecture {
    /// Sides of the input must be multiples of this: 2 to the number of levels less one.
    pub fn stride(&self) -> usize {
        1 << (self.channel_multipliers.len().max(1) - 1)
    }

    /// Channels of a level, finest first.
    pub(crate) fn channels(&self, level: usize) -> usize {
        self.base_channels * self.channel_multipliers[level]
    }

    /// Heads of an attention of so many channels.
    pub(crate) fn heads(&self, channels: usize) -> usize {
        self.attention_head_channels
            .map_or(self.attention_heads, |size| channels / size)
    }

    pub(crate) fn levels(&self) -> usize {
        self.channel_multipliers.len()
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// [`KernelError::Size`] names the first one that does not.
    pub fn validate(&self) -> Result<(), KernelError> {
        let fail = |reason: String| Err(KernelError::Size(reason));
        if self.base_channels == 0 || self.residual_blocks == 0 || self.regions == 0 {
            return fail("base_channels, residual_blocks and regions must be at least 1".to_owned());
        }
        if self.channel_multipliers.is_empty() || self.levels() > 16 || self.channel_multipliers.contains(&0) {
            return fail("channel_multipliers must hold 1 to 16 numbers, each at least 1".to_owned());
        }
        if self.attention_levels.len() != self.levels() {
            return fail(format!(
                "attention_levels holds {} flags for {} levels",
                self.attention_levels.len(),
                self.levels()
            ));
        }
        if self.attention_heads == 0 || self.attention_head_channels == Some(0) || self.norm_groups == 0 {
            return fail("attention_heads, attention_head_channels and norm_groups must be at least 1".to_owned());
        }
        for level in 0..self.levels() {
            let channels = self.channels(level);
            if !channels.is_multiple_of(self.norm_groups) {
                return fail(format!(
                    "{channels} channels do not divide into {} norm_groups",
                    self.norm_groups
                ));
            }
            let attends = self.attention_levels[level] || level + 1 == self.levels();
            match self.attention_head_channels {
                Some(size) if attends && !channels.is_multiple_of(size) => {
                    return fail(format!(
                        "{channels} channels do not divide into heads of {size} attention_head_channels"
                    ));
                }
                None if attends && !channels.is_multiple_of(self.attention_heads) => {
                    return fail(format!(
                        "{channels} channels do not divide into {} attention_heads",
                        self.attention_heads
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
