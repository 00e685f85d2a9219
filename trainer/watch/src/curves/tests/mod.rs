use super::*;

#[test]
fn curves_are_drawn_within_their_panels() {
    let mut metrics = Metrics::default();
    metrics.series.insert(
        "train/loss".into(),
        (0..5000).map(|i| (f64::from(i), 1.0 / f64::from(i + 1))).collect(),
    );
    metrics.series.insert("train/masks/shares/0".into(), vec![(10.0, 0.5)]);
    metrics.phases.push((1.0, "a <b>".into()));
    let svg = svg(&metrics);
    assert!(svg.contains(">loss</text>") && svg.contains("region 0</text>") && svg.contains("a &lt;b&gt;"));
    assert!(!svg.contains("images per second") && !svg.contains("NaN"));
    let path = svg
        .split("<path d=\"M")
        .find(|path| path.matches('L').count() > 100)
        .unwrap();
    let points: Vec<&str> = path.split('"').next().unwrap().split('L').collect();
    assert!((500..=600).contains(&points.len()), "{}", points.len());
    for point in points {
        let (x, y) = point.split_once(' ').unwrap();
        assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse().unwrap()), "{point}");
        assert!((TOP..=PANEL - BOTTOM).contains(&y.parse().unwrap()), "{point}");
    }
    assert!(super::svg(&Metrics::default()).contains("nothing measured yet"));
}
