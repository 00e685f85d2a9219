use super::*;

#[test]
fn a_line_says_what_is_known() {
    assert_eq!(line(1, Some(132), f64::NAN), "1 of 132 frames");
    assert_eq!(
        line(41, Some(132), 10.0),
        "41 of 132 frames, 10.0 per second, 10 s left"
    );
    assert_eq!(
        line(41, Some(2641), 10.0),
        "41 of 2641 frames, 10.0 per second, 4 min 20 s left"
    );
    assert_eq!(line(41, None, 10.0), "41 frames, 10.0 per second");
    // A duration in a header may be too short.
    assert_eq!(line(41, Some(40), 10.0), "41 of 40 frames, 10.0 per second, 0 s left");
}
