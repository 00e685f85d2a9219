use super::*;

#[test]
fn shares_are_even_and_leave_nothing_out() {
    for (items, count, sizes) in [(8, 2, vec![4, 4]), (7, 3, vec![3, 2, 2]), (1, 3, vec![1, 0, 0])] {
        let shares: Vec<Share> = (0..count).map(|index| Share { index, count }).collect();
        let in_order = shares.iter().rev().flat_map(|share| share.range(items));
        assert!(in_order.eq(0..items));
        assert_eq!(
            shares.iter().map(|share| share.range(items).len()).collect::<Vec<_>>(),
            sizes
        );
        let mut taken: Vec<usize> = shares
            .iter()
            .flat_map(|share| share.take((0..items).collect()))
            .collect();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..items));
    }
    assert_eq!("2/8".parse(), Ok(Share { index: 2, count: 8 }));
    for wrong in ["", "8", "8/8", "-1/8", "0/0", "1/x"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
}
