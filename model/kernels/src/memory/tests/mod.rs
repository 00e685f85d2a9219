use super::*;

#[test]
fn buffers_start_at_cache_lines_and_keep_their_numbers() {
    for length in [0, 1, 15, 16, 17, 100_000] {
        let mut buffer = Buffer::zeroed(length);
        assert_eq!(buffer.len(), length);
        assert!(buffer.iter().all(|value| *value == 0.0));
        buffer.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
        let copy = buffer.clone();
        assert!(copy[..] == buffer[..]);
        for one in [&buffer, &copy] {
            assert!(length == 0 || one.as_ptr().addr().is_multiple_of(64));
        }
    }
}
