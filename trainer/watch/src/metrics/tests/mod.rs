use super::*;

#[test]
fn lines_become_series() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    assert_eq!(Metrics::read(&path).unwrap(), Metrics::default());
    let text = concat!(
        r#"{"kind":"train","step":2,"phase":"a","loss":0.5,"masks":{"shares":[0.25,0.75]}}"#,
        "\n",
        r#"{"kind":"held-out","step":2,"masks":{"entropy":0.5}}"#,
        "\nnonsense\n",
        r#"{"kind":"train","step":4,"phase":"b","loss":0.25}"#,
        "\n{\"kind\":\"tra"
    );
    std::fs::write(&path, text).unwrap();
    let metrics = Metrics::read(&path).unwrap();
    assert_eq!(metrics.get("train/loss"), [(2.0, 0.5), (4.0, 0.25)]);
    assert_eq!(metrics.get("train/masks/shares/1"), [(2.0, 0.75)]);
    assert_eq!(metrics.get("held-out/masks/entropy"), [(2.0, 0.5)]);
    assert_eq!(metrics.phases, [(2.0, "a".to_owned()), (4.0, "b".to_owned())]);
    assert_eq!(metrics.last["train"]["step"], 4);
}
