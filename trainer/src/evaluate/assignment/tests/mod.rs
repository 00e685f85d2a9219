use super::*;

#[test]
fn three_regions_have_six_assignments() {
    let all = Assignment::all(3);
    assert_eq!(
        all.iter().map(|a| a.regions()).collect::<Vec<_>>(),
        [vec![0], vec![1], vec![0, 1], vec![2], vec![0, 2], vec![1, 2]]
    );
    assert_eq!(Assignment::all(1), [Assignment(1)]);
    assert!(Assignment(0b101).holds(2) && !Assignment(0b101).holds(1));
}

#[test]
fn assignments_are_fitted_or_named() {
    let info = EngineInfo {
        regions: 3,
        foreground_regions: vec![1, 2],
        ..EngineInfo::default()
    };
    let assign = |text: &str| {
        text.parse::<Foreground>()
            .unwrap()
            .assign(&info, |a| -f64::from(a.0.abs_diff(4)))
    };
    assert_eq!(assign("fit").unwrap(), Assignment(4));
    assert_eq!(assign("checkpoint").unwrap(), Assignment(0b110));
    assert_eq!(assign("1, 3").unwrap(), Assignment(0b101));
    assert!(assign("4").unwrap_err().to_string().contains("no region 4"));
    assert!("0".parse::<Foreground>().is_err());
    assert!("left".parse::<Foreground>().is_err());
    let silent = EngineInfo {
        regions: 2,
        ..EngineInfo::default()
    };
    assert!(Foreground::Checkpoint.assign(&silent, |_| 0.0).is_err());
}

#[test]
fn labels_are_the_largest() {
    assert_eq!(labels(&[0.1, 0.6, 0.2, 0.3, 0.7, 0.1], 3), [2, 0]);
}
