use super::*;

/// bfloat16 on a processor that has it, or the error of one that has not.
#[test]
fn the_cpu_computes_in_bfloat16_where_it_can() {
    let load = |precision| {
        let how = LoadOptions {
            device: DeviceSpec::Cpu,
            precision,
            threads: 1,
        };
        let options = SegmenterOptions {
            color_model: false,
            ..SegmenterOptions::default()
        };
        Segmenter::load(&CheckpointSource::Embedded, how, &options)
    };
    if !Precision::Bf16.runs_on_this_processor() {
        let error = load(Precision::Bf16).err().unwrap();
        assert!(matches!(error, SegmentError::Precision { .. }), "{error}");
        return;
    }
    assert_eq!(load(Precision::Bf16).unwrap().info().precision, Precision::Bf16);
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
        let mut segmenter = load(precision).unwrap();
        let side = segmenter.config.image_size;
        let image = InputImage {
            width: side,
            height: side,
            data: (0..3 * side * side).map(|i| (i as f32 * 0.013).sin()).collect(),
        };
        segmenter.segment(&[image]).unwrap().remove(0).probabilities
    });
    assert!(rounded.iter().all(|value| value.is_finite()));
    let differences = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
    let mean = differences.sum::<f32>() / exact.len() as f32;
    // Rounded at all, and no more than 8 bits of mantissa explain.
    assert!(mean > 1e-6 && mean < 0.02, "{mean}");
}

#[test]
fn a_preferred_device_that_fails_gives_way_to_the_cpu_and_says_why() {
    let load = || {
        Segmenter::load(
            &CheckpointSource::Embedded,
            DeviceSpec::Cpu,
            &SegmenterOptions::default(),
        )
    };
    let full = Err(SegmentError::Failed {
        device: "cuda:0".into(),
        reason: "out of memory".into(),
    });
    let segmenter = or_else_on_the_cpu(full, load).unwrap();
    assert_eq!(segmenter.info().device, "cpu");
    let refused = segmenter.info().refused.as_deref().unwrap();
    assert!(
        refused.contains("cuda:0") && refused.contains("out of memory"),
        "{refused}"
    );
    // One that works stays, and what is wrong everywhere is not tried again.
    let working = or_else_on_the_cpu(load().and_then(Segmenter::tried), || panic!("not needed")).unwrap();
    assert_eq!(working.info().refused, None);
    let wrong = SegmentError::Option {
        option: "class",
        value: "7".into(),
        expected: "none".into(),
    };
    assert!(or_else_on_the_cpu(Err(wrong), || panic!("of no use")).is_err());
}
