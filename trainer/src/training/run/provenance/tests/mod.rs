use super::*;
use crate::recipe::{Competition, Recipe};

fn said(recipe: &str, before: &CheckpointInfo, steps: &[u64]) -> Vec<CheckpointInfo> {
    let recipe = Recipe::load(recipe).unwrap();
    let taught = recipe.self_training.map(|_| vec![1]);
    let of = |step: &u64| {
        let (mut info, mut start) = (before.clone(), 0);
        for phase in &recipe.phases {
            if *step > start {
                after(&mut info, phase, taught.as_deref(), 2, (step - start).min(phase.steps));
            }
            start += phase.steps;
        }
        info
    };
    steps.iter().map(of).collect()
}

#[test]
fn a_decoder_is_trained_under_the_masks_of_the_last_phase_that_denoised_whole_pictures() {
    let decoder = |masked, last, steps| {
        let timesteps = (1, last);
        Some(DecoderTraining {
            masked,
            timesteps,
            steps,
        })
    };
    let nothing = CheckpointInfo::default();
    let found = said("competition", &nothing, &[1, 2000, 2001, 5000, 5001, 7000]);
    let decoders: Vec<_> = found.iter().map(|info| info.decoder).collect();
    let expected = [
        decoder(false, 500, 1),
        decoder(false, 500, 2000),
        None,
        None,
        decoder(true, 1000, 1),
        decoder(true, 1000, 2000),
    ];
    assert_eq!(decoders, expected);
    let foreground: Vec<_> = found.iter().map(|info| info.foreground_regions.clone()).collect();
    assert_eq!(foreground, [vec![], vec![], vec![1], vec![1], vec![1], vec![1]]);
    // A finished checkpoint's regions keep their meaning.
    let started = said("decoder", &found[3], &[7]);
    assert_eq!(
        (&started[0].foreground_regions, started[0].decoder),
        (&vec![1], decoder(true, 1000, 7))
    );
    // What is taught, or competes, leaves the decoder behind.
    assert_eq!(said("self-training", &started[0], &[7])[0].decoder, None);
    let mut frozen = Recipe::load("competition").unwrap().phases[1].clone();
    frozen.denoiser_factor = 0.0;
    frozen.competition = Some(Competition::default());
    for (before, kept) in [(decoder(false, 1000, 9), true), (decoder(true, 1000, 9), false)] {
        let mut info = CheckpointInfo {
            decoder: before,
            ..nothing.clone()
        };
        after(&mut info, &frozen, None, 2, 5);
        assert_eq!(info.decoder, before.filter(|_| kept));
    }
}
