use super::*;

struct Fails(EngineInfo);

impl Engine for Fails {
    fn input_size(&self, _: usize, _: usize) -> (usize, usize) {
        (8, 8)
    }

    fn segment(&mut self, _: &[InputImage]) -> Result<Vec<RegionMap>, SegmentError> {
        Ok(Vec::new())
    }

    fn set_options(&mut self, _: &SegmenterOptions) -> Result<(), SegmentError> {
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.0
    }
}

#[test]
fn nobody_waits_for_a_thread_whose_report_panics() {
    let worker = Worker::start(
        Box::new(Fails(EngineInfo::default())),
        "fails",
        Arc::default(),
        Box::new(|_| panic!("a bug in the application")),
    )
    .unwrap();
    let job = || Job {
        image: InputImage {
            width: 8,
            height: 8,
            data: vec![0.0; 192],
        },
        seen: true,
        options: SegmenterOptions::default(),
        foreground: vec![true],
        motion: None,
        class: "none".into(),
        threshold: 0.5,
        min_area: 0.0,
        sharpness: 1.0,
        smoothing: 0.0,
        pts: None,
    };
    for _ in 0..3 {
        let ticket = worker.submit(job());
        assert_eq!(worker.wait_for(ticket, None).err(), Some(Interrupted::Failed));
    }
    assert!(worker.is_dead());
}
