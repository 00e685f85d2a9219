//! The sizes of a network.

use crate::KernelError;

/// Of an image, in pixels.
const LARGEST_SIDE: usize = 1 << 14;

/// How the decoder takes in the masks: the paper's way, and the three that its Table 6 compares with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoding {
    /// A branch for each region sees h_enc under the region's mask; all branches share their weights (Eq. 6 and 7).
    #[default]
    Factorized,
    /// One branch sees h_mid and h_enc with all masks beside them (Eq. 5). The masks join the channels that a block's
    /// convolutions read, behind its normalisation.
    Concatenated,
    /// As the paper's, but it is h_mid that is under the masks, and h_enc is whole.
    MaskedMiddle,
    /// As the paper's, but each region has a decoder of its own.
    Unshared,
}

impl Decoding {
    /// Every way, the paper's first.
    pub const ALL: [Self; 4] = [Self::Factorized, Self::Concatenated, Self::MaskedMiddle, Self::Unshared];

    /// As configurations have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factorized => "factorized",
            Self::Concatenated => "concatenated",
            Self::MaskedMiddle => "masked-middle",
            Self::Unshared => "unshared",
        }
    }
}

impl std::str::FromStr for Decoding {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let found = Self::ALL.into_iter().find(|decoding| decoding.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            KernelError::Size(format!("there is no decoding `{name}`; use one of {names}"))
        })
    }
}

/// A network's sizes, finest level first.
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
    /// Classes of a conditional network; 0 for an unconditional one.
    pub classes: usize,
    /// How the decoder takes in the masks.
    pub decoding: Decoding,
}

impl Architecture {
    /// Sides of the input must be multiples of this: 2 to the number of levels less one.
    pub fn stride(&self) -> usize {
        1 << (self.channel_multipliers.len().max(1) - 1)
    }

    /// Channels of the embedding of timestep and class.
    pub(crate) fn embedding_channels(&self) -> usize {
        4 * self.base_channels
    }

    /// Channels of a level, finest first.
    pub fn channels(&self, level: usize) -> usize {
        self.base_channels * self.channel_multipliers[level]
    }

    /// Heads of an attention of so many channels.
    pub fn heads(&self, channels: usize) -> usize {
        self.attention_head_channels
            .map_or(self.attention_heads, |size| channels / size)
    }

    /// Decoders with weights of their own.
    pub fn decoders(&self) -> usize {
        match self.decoding {
            Decoding::Unshared => self.regions,
            _ => 1,
        }
    }

    /// Branches of each decoder.
    pub fn branches(&self) -> usize {
        match self.decoding {
            Decoding::Factorized | Decoding::MaskedMiddle => self.regions,
            Decoding::Concatenated | Decoding::Unshared => 1,
        }
    }

    /// Channels that the masks add to what the decoder's blocks read.
    pub fn joined_masks(&self) -> usize {
        match self.decoding {
            Decoding::Concatenated => self.regions,
            _ => 0,
        }
    }

    /// Number of resolutions, the finest included.
    pub fn levels(&self) -> usize {
        self.channel_multipliers.len()
    }

    /// Checks that the network can see images of a size.
    pub(crate) fn check_size(&self, height: usize, width: usize) -> Result<(), KernelError> {
        let stride = self.stride();
        let usable = |side: usize| side > 0 && side.is_multiple_of(stride) && side <= LARGEST_SIDE;
        if usable(height) && usable(width) {
            return Ok(());
        }
        Err(KernelError::Size(format!(
            "an image of {width} x {height} (width x height) does not fit the network: both must be multiples of \
             {stride}, up to {LARGEST_SIDE}"
        )))
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
        if !self.base_channels.is_multiple_of(2) {
            return fail("base_channels must be even".to_owned());
        }
        let levels = (0..self.levels()).map(|level| self.channels(level));
        for channels in std::iter::once(self.base_channels).chain(levels) {
            if !channels.is_multiple_of(self.norm_groups) {
                return fail(format!(
                    "{channels} channels do not divide into {} norm_groups",
                    self.norm_groups
                ));
            }
        }
        for level in 0..self.levels() {
            let channels = self.channels(level);
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
