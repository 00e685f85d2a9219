use super::*;

#[test]
fn the_checksum_is_castagnolis() {
    // The check value of CRC-32C.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn records_hold_scalars() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    EventWriter::create(folder.path()).unwrap();
    writer
        .write(&serde_json::json!({"kind": "train", "step": 300, "phase": "a", "loss": 0.5}))
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), 2);
    let bytes = fs::read(&names[0]).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked(&rest[..8]));
        let event = &rest[12..12 + length];
        assert_eq!(rest[12 + length..16 + length], masked(event));
        events.push(event.to_vec());
        rest = &rest[16 + length..];
    }
    assert_eq!(events.len(), 2);
    assert!(events[0].ends_with(b"\x1a\x0dbrain.Event:2"));
    let mut expected = vec![2 << 3, 0xac, 0x02, 5 << 3 | 2, 19, 1 << 3 | 2, 17, 1 << 3 | 2, 10];
    expected.extend(b"train/loss");
    expected.push(2 << 3 | 5);
    expected.extend(0.5f32.to_le_bytes());
    assert_eq!(events[1][9..], expected);
}
