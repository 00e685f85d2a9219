use super::*;

/// The levels of `paper-64` at batch 1, and thin layers: see `docs/speed.md`.
#[test]
fn winograd_is_for_many_pixels_and_channels() {
    let winograd = |size, channels| in_tiles(1, size, size, channels, channels) == Method::Winograd(4);
    assert!(winograd(64, 192));
    assert!(winograd(32, 384));
    assert!(!winograd(16, 576) && !winograd(8, 768));
    assert!(!winograd(64, 32) && !winograd(64, 48));
}
