//! What the layers that normalise their input have in common: forward, and backward from the gradient of the normalised
//! input.

use super::normalisation::Gradients;
use super::state::State;
use crate::network::Joined;
use crate::source::Affine;

/// Computes scale and shift of normalisation `norm` from the sums of its inputs, and before that those by the embedding.
pub(crate) fn prepare(state: &mut State, norm: usize, input: Joined, items: usize) {
    let Joined { first, second } = input;
    let pixels = state.pixels(first);
    let norm = &mut state.norms[norm];
    let modulation: &[f32] = match norm.modulation {
        Some(index) => {
            let modulation = &mut state.modulations[index];
            let rows = state.images * modulation.linear.inputs;
            modulation.linear.forward(
                &state.parameters,
                &state.embedding.embedded.output[..rows],
                &mut modulation.output,
            );
            &modulation.output
        }
        None => &[],
    };
    let sums = [Some(&state.sums[first]), second.map(|second| &state.sums[second])];
    norm.forward(&state.parameters, sums, modulation, state.images, items, pixels);
}

/// What [`prepare`] has computed.
pub(crate) fn affine(state: &State, norm: usize) -> Affine<'_> {
    let norm = &state.norms[norm];
    Affine {
        scale: &norm.scale,
        shift: &norm.shift,
        activate: norm.activate,
    }
}

/// The inputs' gradients for some items, whose da is in `da`. When all items are done, [`parameter_gradients`] follows.
pub(crate) fn input_gradients(
    state: &mut State,
    items: std::ops::Range<usize>,
    norm: usize,
    input: Joined,
    da: &mut [f32],
) {
    let Joined { first, second } = input;
    let pixels = state.pixels(first);
    let mut dx = [
        std::mem::take(&mut state.slopes[first]),
        second.map_or_else(Default::default, |second| std::mem::take(&mut state.slopes[second])),
    ];
    let written = [state.written[first], second.is_some_and(|second| state.written[second])];
    let norm = &mut state.norms[norm];
    let [dx_first, dx_second] = &mut dx;
    let data = Gradients {
        da,
        x: [
            &state.values[first],
            second.map_or(&[][..], |second| &state.values[second]),
        ],
        dx: [dx_first, dx_second],
        written,
        parameters: &state.parameters,
        modulation: norm
            .modulation
            .map_or(&[][..], |index| &state.modulations[index].output),
    };
    norm.backward(state.set, &mut state.workspaces, data, state.images, items, pixels);
    let [dx_first, dx_second] = dx;
    state.slopes[first] = dx_first;
    if let Some(second) = second {
        state.slopes[second] = dx_second;
    }
}

/// Adds to the gradients of a normalisation's parameters, and of the layer that scales and shifts it, where they learn.
pub(crate) fn parameter_gradients(state: &mut State, items: usize, norm: usize) {
    let norm = &state.norms[norm];
    let parameters = &state.parameters;
    let mut gradients = state.learning.then_some(&mut state.gradients[..]);
    let Some(index) = norm.modulation else {
        norm.parameter_gradients(parameters, gradients, &[], &mut [], state.images, items);
        return;
    };
    let modulation = &mut state.modulations[index];
    modulation.gradient.fill(0.0);
    norm.parameter_gradients(
        parameters,
        gradients.as_deref_mut(),
        &modulation.output,
        &mut modulation.gradient,
        state.images,
        items,
    );
    let (linear, embedding) = (modulation.linear, &mut state.embedding);
    linear.backward(
        parameters,
        gradients,
        &embedding.embedded.output[..state.images * linear.inputs],
        &modulation.gradient,
        state.learned.encoder.then_some(&mut embedding.gradient[..]),
    );
}
