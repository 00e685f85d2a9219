//! Two passes under way at a time: one waits while the other goes on.

use super::embedding::LearnedEmbedding;
use super::network::TrainingNetwork;
use super::normalisation::Norm;
use super::state::Modulation;
use crate::KernelError;
use crate::memory::Buffer;
use crate::normalisation::ChannelSums;

/// A pass that waits: see [`TrainingNetwork::within`].
pub struct KeptPass {
    values: Vec<Buffer>,
    sums: Vec<ChannelSums>,
    written: Vec<bool>,
    norms: Vec<Norm>,
    embedding: LearnedEmbedding,
    modulations: Vec<Modulation>,
    images: usize,
    image: Vec<f32>,
    room: usize,
}

impl TrainingNetwork {
    /// Room for a pass of [`Self::encode`] and [`Self::mask_logits`] over up to `images` images: see [`Self::within`].
    pub fn kept_pass(&self, images: usize) -> KeptPass {
        let state = &self.state;
        let images = images.min(self.options.batch);
        let tensors = 0..self.joints.first_decoder;
        KeptPass {
            values: tensors
                .clone()
                .map(|tensor| Buffer::zeroed(images * state.item(tensor)))
                .collect(),
            sums: state.sums[tensors].to_vec(),
            written: state.written.clone(),
            norms: state.norms.clone(),
            embedding: state.embedding.clone(),
            modulations: state.modulations.clone(),
            images: 0,
            image: vec![0.0; images * 3 * self.options.height * self.options.width],
            room: images,
        }
    }

    /// Does `work` on the pass of [`Self::encode`] and [`Self::mask_logits`] in `kept`, while the one under way waits: two
    /// passes can be forward before the first is backward. Copies nothing; gradients of parameters add up over both. The
    /// parameters must not change in between, and a pass must fit the room of the [`Self::kept_pass`] that it happens in.
    ///
    /// # Errors
    /// [`KernelError::Size`] if `kept` is of another network; else what `work` returns, after which the pass that waited is
    /// under way as well.
    pub fn within<T>(
        &mut self,
        kept: &mut KeptPass,
        work: impl FnOnce(&mut Self) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        self.exchange(kept)?;
        let done = work(self);
        self.exchange(kept)?;
        done
    }

    pub(crate) fn exchange(&mut self, kept: &mut KeptPass) -> Result<(), KernelError> {
        let (state, tensors) = (&mut self.state, self.joints.first_decoder);
        let fits = |values: &[Buffer], images: usize| {
            let lengths = values.iter().map(|values| values.len());
            lengths.eq((0..tensors).map(|tensor| images * state.item(tensor)))
        };
        if !fits(&kept.values, kept.room) || kept.norms.len() != state.norms.len() {
            return Err(KernelError::Size("a kept pass of another network".to_owned()));
        }
        state.values[..tensors].swap_with_slice(&mut kept.values);
        state.sums[..tensors].swap_with_slice(&mut kept.sums);
        std::mem::swap(&mut state.written, &mut kept.written);
        std::mem::swap(&mut state.norms, &mut kept.norms);
        std::mem::swap(&mut state.embedding, &mut kept.embedding);
        std::mem::swap(&mut state.modulations, &mut kept.modulations);
        std::mem::swap(&mut state.images, &mut kept.images);
        std::mem::swap(&mut state.image, &mut kept.image);
        std::mem::swap(&mut self.room, &mut kept.room);
        Ok(())
    }
}
