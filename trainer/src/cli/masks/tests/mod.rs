use super::*;

#[test]
fn runs_go_down_the_columns_and_begin_outside() {
    // 1 1 0
    // 0 1 0
    let regions = [1, 1, 0, 0, 1, 0];
    assert_eq!(runs(&regions, 3, 1), [0, 1, 1, 2, 2]);
    assert_eq!(runs(&regions, 3, 0), [1, 1, 2, 2]);
    assert_eq!(runs(&regions, 3, 5), [6]);
}
