//! `factorseg-pipeline mosaic`.

use factorseg_tests::succeed;
use image::Rgb;

use crate::support::{alike, folder, frames, launch, part, pipeline, white};

#[test]
fn several_inputs_are_side_by_side_each_with_its_statistics() {
    let folder = folder();
    // Shorter, of another rate, size and shape.
    launch(
        folder.path(),
        "videotestsrc pattern=blue num-buffers=5 ! video/x-raw,width=100,height=100,framerate=5/1 ! jpegenc ! avimux \
         ! filesink location=blue.avi",
    );
    let text = succeed(&mut pipeline(
        folder.path(),
        "mosaic --in in.mp4 --in blue.avi --in in.mp4 --tile 80x60 --out out.mp4 overlay=none device=cpu",
    ));
    for line in ["segment_0: 12 frames", "segment_1: 5 frames", "segment_2: 12 frames"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.matches("device cpu").count() == 3, "{text}");
    let after = frames(folder.path(), "out.mp4");
    assert_eq!(after.len(), 12);
    for frame in &after {
        // Two columns and two rows, the last tile empty; what is not of a tile's shape has borders.
        assert_eq!(frame.dimensions(), (160, 120));
        for tile in [(0, 0), (0, 60)] {
            assert!(!white(&part(frame, tile, (80, 60))).is_empty(), "no ball at {tile:?}");
        }
        for (place, colour) in [((120, 30), [0, 0, 255]), ((84, 30), [0, 0, 0]), ((120, 90), [0, 0, 0])] {
            let pixel = frame.get_pixel(place.0, place.1);
            assert!(alike(pixel, &Rgb(colour)), "{place:?}: {pixel:?}");
        }
    }
}
