use super::*;

/// A pickle that puts a shared value behind `first`, and then so many tensors of which it is shape and stride.
fn sharing(first: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = b"]q\0(".to_vec();
    bytes.extend(first);
    bytes.extend(b"e0(Nt");
    // A storage and the function, each once.
    bytes.extend(b"Qq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02](");
    for _ in 0..count {
        bytes.extend(b"h\x02(h\x01K\0h\0h\0tR");
    }
    bytes.extend(b"e.");
    bytes
}

/// What is built stays in proportion to the bytes that describe it, however often one thing is referred to.
#[test]
fn sharing_a_large_value_builds_little() {
    let long = [b'K', 1].repeat(20_000);
    let dimensions = |pickle: &Pickle| -> usize {
        let of = |value: &Value| {
            if let Value::Tensor { shape, stride, .. } = value {
                shape.len() + stride.len()
            } else {
                0
            }
        };
        pickle.values.iter().map(of).sum()
    };
    assert_eq!(dimensions(&read(&sharing(&long, 2_000)).unwrap()), 0);
    assert_eq!(dimensions(&read(&sharing(&long[..6], 2_000)).unwrap()), 2_000 * 6);
    // Names of classes from long texts.
    let mut names = b"X\x40\x42\x0f\0".to_vec();
    names.extend(b"n".repeat(1_000_000));
    names.extend(b"q\0](");
    names.extend(b"h\0h\0\x93".repeat(2_000));
    names.extend(b"e.");
    let built = read(&names).unwrap();
    let letters = |value: &Value| if let Value::Name(name) = value { name.len() } else { 0 };
    assert!(built.values.iter().map(letters).sum::<usize>() < names.len());
}
