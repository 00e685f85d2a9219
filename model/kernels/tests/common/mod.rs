//! The fixtures of `tests/reference`.

use factorseg_kernels::{Architecture, Decoding};
use safetensors::SafeTensors;
use std::path::PathBuf;

/// A checkpoint file with the network's configuration.
pub struct File {
    pub bytes: Vec<u8>,
    config: serde_json::Value,
}

impl File {
    /// The file at `path`, from the crate's folder.
    pub fn read(path: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["factorseg.config"]).unwrap();
        Self { bytes, config }
    }

    /// The fixture of a name.
    pub fn fixture(name: &str) -> Self {
        Self::read(&format!("../../tests/reference/fixtures/{name}.safetensors"))
    }

    fn number(&self, key: &str) -> usize {
        self.config[key].as_u64().unwrap() as usize
    }

    fn list(&self, key: &str) -> Vec<usize> {
        let values = self.config[key].as_array().unwrap().iter();
        values.map(|value| value.as_u64().unwrap() as usize).collect()
    }

    /// The network.
    pub fn architecture(&self) -> Architecture {
        let channel_multipliers = self.list("channel_multipliers");
        let resolutions = self.list("attention_resolutions");
        Architecture {
            base_channels: self.number("base_channels"),
            residual_blocks: self.number("residual_blocks"),
            attention_levels: (0..channel_multipliers.len())
                .map(|level| resolutions.contains(&(self.number("image_size") >> level)))
                .collect(),
            channel_multipliers,
            attention_heads: self.number("attention_heads"),
            attention_head_channels: self
                .config
                .get("attention_head_channels")
                .map(|_| self.number("attention_head_channels")),
            resblock_updown: self.config["resblock_updown"] == true,
            norm_groups: self.number("norm_groups"),
            regions: self.number("regions"),
            classes: self.number("classes"),
            decoding: match self.config.get("decoding") {
                None => Decoding::default(),
                Some(name) => name.as_str().unwrap().parse().unwrap(),
            },
        }
    }
}

/// The four-byte words of a tensor.
pub fn words(data: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    data.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap())
}
