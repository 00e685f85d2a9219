use super::*;

#[test]
fn losses_are_summed_and_must_be_finite() {
    let mut running = RunningLoss::default();
    count(0.5, &mut running, 1).unwrap();
    count(0.25, &mut running, 2).unwrap();
    assert_eq!(running, RunningLoss { sum: 0.75, count: 2 });
    for wild in [f32::NAN, f32::INFINITY] {
        let error = count(wild, &mut running, 7).unwrap_err().to_string();
        assert!(
            error.contains("step 7") && error.contains("lower the learning rate"),
            "{error}"
        );
    }
}
