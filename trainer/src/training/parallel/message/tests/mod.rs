use super::*;
use crate::recipe::SelfTraining;
use factorseg_model::Preset;

fn run() -> (ModelConfig, Recipe, Shape) {
    let model = ModelConfig {
        image_size: 4,
        attention_resolutions: vec![4],
        classes: 2,
        ..ModelConfig::preset(Preset::Tiny)
    };
    let recipe = Recipe {
        batch_size: 5,
        micro_batch: Some(2),
        ..Recipe::load("two-phase").unwrap()
    };
    let shape = Shape::new(&model, &recipe, 7);
    (model, recipe, shape)
}

fn part(size: usize) -> MicroBatch {
    MicroBatch {
        size,
        noised: (0..size * 48).map(|value| value as f32).collect(),
        noise: vec![-1.5; size * 48],
        timesteps: vec![1000; size],
        classes: vec![2; size],
        targets: Vec::new(),
    }
}

fn job() -> Job {
    Job {
        step: 4100,
        phase: 1,
        phase_step: 100,
        first: 1,
        parts: vec![part(2), part(1)],
        parameters: Arc::new((0..7).map(|value| value as f32 / 3.0).collect()),
    }
}

fn share() -> Share {
    Share {
        loss: 0.1,
        gradients: vec![f32::MIN_POSITIVE; 7],
        masks: Some(MaskFigures::of(&[0.25, 0.25, 0.5], 1, 3)),
    }
}

#[test]
fn jobs_and_shares_come_back_exactly() {
    let (_, _, shape) = run();
    let bytes = encode_job(&job()).unwrap();
    assert!(bytes.len() as u64 <= shape.longest_job());
    assert_eq!(decode_job(&bytes, &shape).unwrap(), job());
    // With a teacher's masks, of one size alone.
    let (model, recipe, _) = run();
    let teaching = Recipe {
        self_training: Some(SelfTraining::default()),
        ..recipe
    };
    let teaching = Shape::new(&model, &teaching, 7);
    let mut taught = job();
    for part in &mut taught.parts {
        part.targets = (0..part.size * model.regions * 16).map(|value| value as f32).collect();
    }
    let bytes = encode_job(&taught).unwrap();
    assert!(bytes.len() as u64 <= teaching.longest_job());
    assert_eq!(decode_job(&bytes, &teaching).unwrap(), taught);
    assert!(decode_job(&bytes, &shape).is_err() && decode_job(&encode_job(&job()).unwrap(), &teaching).is_err());
    let bytes = encode_share(&share()).unwrap();
    assert!(bytes.len() as u64 <= shape.longest_share());
    assert_eq!(decode_share(&bytes, &shape).unwrap(), share());
}

#[test]
fn what_does_not_fit_the_run_is_refused() {
    let (_, _, shape) = run();
    let (whole, answer) = (encode_job(&job()).unwrap(), encode_share(&share()).unwrap());
    for cut in 0..whole.len() {
        assert!(decode_job(&whole[..cut], &shape).is_err(), "{cut}");
    }
    for cut in 0..answer.len() {
        assert!(decode_share(&answer[..cut], &shape).is_err(), "{cut}");
    }
    assert!(decode_job(&[&whole[..], &[0]].concat(), &shape).is_err());
    let refused = |change: &dyn Fn(&mut Job)| {
        let mut job = job();
        change(&mut job);
        decode_job(&encode_job(&job).unwrap(), &shape).unwrap_err().to_string()
    };
    assert!(refused(&|job| job.phase = 3).contains("no such phase"));
    assert!(refused(&|job| (job.phase, job.phase_step) = (0, 4000)).contains("no such step"));
    assert!(refused(&|job| job.parts = vec![part(3)]).contains("micro-batch"));
    assert!(refused(&|job| job.parts = vec![part(0)]).contains("micro-batch"));
    assert!(refused(&|job| job.parts = vec![part(2); 3]).contains("more images"));
    assert!(refused(&|job| job.parts[0].timesteps[0] = 0).contains("timestep"));
    assert!(refused(&|job| job.parts[0].timesteps[0] = 1001).contains("timestep"));
    assert!(refused(&|job| job.parts[1].classes[0] = -1).contains("class"));
    assert!(refused(&|job| job.parts[1].classes[0] = 3).contains("class"));
    assert!(refused(&|job| job.parameters = Arc::new(vec![0.0; 6])).contains("shorter"));
    // Sizes whose sum or product does not fit a number.
    let mut header = encode_job(&Job {
        parts: Vec::new(),
        ..job()
    })
    .unwrap();
    let json = br#"{"step":0,"phase":0,"phase_step":0,"first":0,"sizes":[18446744073709551615,2]}"#;
    header.splice(..4 + u32::from_le_bytes(header[..4].try_into().unwrap()) as usize, {
        let mut start = (json.len() as u32).to_le_bytes().to_vec();
        start.extend(json);
        start
    });
    assert!(decode_job(&header, &shape).is_err());
}

#[test]
fn another_version_and_impossible_networks_are_told_apart() {
    let (model, recipe, _) = run();
    let hello = Hello::new(&model, &recipe, 3, Precision::F32);
    let bytes = |hello: &Hello| serde_json::to_vec(hello).unwrap();
    assert_eq!(Hello::decode(&bytes(&hello)).unwrap(), hello);
    let newer = br#"{"version": 99, "something": "new"}"#;
    assert!(matches!(Hello::decode(newer), Err(WireError::Version { theirs: 99 })));
    let mut large = hello.clone();
    large.model.base_channels = 1 << 40;
    assert!(
        Hello::decode(&bytes(&large))
            .unwrap_err()
            .to_string()
            .contains("base_channels")
    );
    let mut late = hello.clone();
    late.recipe.phases[0].timesteps = (1, 2000);
    assert!(
        Hello::decode(&bytes(&late))
            .unwrap_err()
            .to_string()
            .contains("timesteps")
    );
    assert!(Hello::decode(b"nonsense").is_err());
}
