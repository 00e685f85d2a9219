use super::*;
use crate::training::testing::{config, learner, scrambled};

fn content(learner: &Learner, model: &ModelConfig, step: u64) -> Content {
    Content {
        step,
        snapshot: learner.snapshot().unwrap(),
        exported: learner.parameters().unwrap(),
        model: model.clone(),
        info: CheckpointInfo::default(),
        running: RunningLoss::default(),
        score: None,
    }
}

#[test]
fn what_is_not_finite_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let model = config();
    let mut learner = learner(&model, &scrambled(&model, false));
    let weights = learner.parameters().unwrap();
    let save = |learner: &Learner, step: u64, exported: &[f32]| {
        let content = Content {
            exported: exported.to_vec(),
            ..content(learner, &model, step)
        };
        super::save(folder.path(), &content, 2)
    };
    save(&learner, 1, &weights).unwrap();
    let whole = learner.snapshot().unwrap();
    for (wild, what) in [
        (f32::NAN, "weights"),
        (f32::INFINITY, "averaged weights"),
        (f32::NAN, "moments"),
        (f32::NEG_INFINITY, "exported weights"),
    ] {
        let (mut state, mut exported) = (whole.clone(), weights.clone());
        match what {
            "weights" => state.raw[3] = wild,
            "averaged weights" => state.average[3] = wild,
            "exported weights" => exported[3] = wild,
            _ => {
                let count = learner.parameter_list()[0].range().len();
                state.moments[0] = Some(Moments {
                    first: vec![0.0; count],
                    second: vec![wild; count],
                    updates: 1,
                });
            }
        }
        learner.restore(&state).unwrap();
        let error = save(&learner, 2, &exported).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("step 2"), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
    assert_eq!(newest_step(folder.path()).unwrap(), Some(1));
}

#[test]
fn the_first_checkpoint_goes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let model = config();
    let learner = learner(&model, &scrambled(&model, false));
    for (step, left) in [(0, 1), (5, 1), (6, 2)] {
        super::save(folder.path(), &content(&learner, &model, step), 2).unwrap();
        assert_eq!(list(folder.path()).unwrap().len(), left, "after step {step}");
    }
}
