use super::*;

#[test]
fn laps_add_up_by_part() {
    let pause = || std::thread::sleep(Duration::from_millis(2));
    for _ in 0..2 {
        start();
        pause();
        lap(Part::Forward);
        lap(Part::Backward);
        pause();
        lap(Part::Optimizer);
    }
    let times = take();
    assert!(times.forward >= Duration::from_millis(4) && times.optimizer >= Duration::from_millis(4));
    assert!(times.backward < times.forward);
    assert_eq!(take(), StepTimes::default());
}
