//! `factorseg-pipeline background`.

use factorseg_tests::succeed;
use image::{Rgb, RgbImage};

use crate::support::{alike, folder, frames, launch, pipeline, white};

#[test]
fn a_picture_is_behind_the_object_for_as_long_as_the_video() {
    let folder = folder();
    // Of another shape: what does not fit is cut off, not squeezed.
    let mut picture = RgbImage::from_pixel(400, 100, Rgb([200, 40, 40]));
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        if !(133..267).contains(&x) {
            *pixel = Rgb([40, 200, 40]);
        }
    }
    picture.save(folder.path().join("red.png")).unwrap();
    succeed(&mut pipeline(
        folder.path(),
        "background --in in.mp4 --with red.png --out out.mp4 refine=guided",
    ));
    let (before, after) = (frames(folder.path(), "in.mp4"), frames(folder.path(), "out.mp4"));
    assert_eq!(after.len(), before.len());
    // Motion needs a second frame to tell the ball from what is behind it.
    for (before, after) in before.iter().zip(&after).skip(1) {
        assert_eq!(after.dimensions(), (160, 120));
        let ball = white(before);
        let kept = ball
            .iter()
            .filter(|(x, y)| alike(after.get_pixel(*x, *y), &Rgb([255; 3])))
            .count();
        assert!(kept * 10 > ball.len() * 7, "{kept} of {}", ball.len());
        let red = after.pixels().filter(|pixel| alike(pixel, &Rgb([200, 40, 40]))).count();
        assert!(red * 10 > (160 * 120 - ball.len()) * 9, "{red}");
    }
}

#[test]
fn a_clip_behind_the_object_begins_again() {
    let folder = folder();
    launch(
        folder.path(),
        "videotestsrc pattern=ball num-buffers=30 ! video/x-raw,width=160,height=120,framerate=10/1 ! x264enc ! mp4mux \
         ! filesink location=long.mp4",
    );
    // A clip need not tell its rate.
    for encode in ["x264enc", "jpegenc ! capssetter caps=image/jpeg,framerate=0/1"] {
        // Half a second of blue, then of yellow.
        launch(
            folder.path(),
            &format!(
                "concat name=c ! {encode} ! matroskamux ! filesink location=behind.mkv \
                 videotestsrc pattern=blue num-buffers=5 ! video/x-raw,width=80,height=60,framerate=10/1 ! c. \
                 videotestsrc pattern=white foreground-color=0xffffff00 num-buffers=5 ! video/x-raw,width=80,height=60,framerate=10/1 ! c."
            ),
        );
        succeed(&mut pipeline(
            folder.path(),
            "background --in long.mp4 --with behind.mkv --out out.mp4 interval=3",
        ));
        let after = frames(folder.path(), "out.mp4");
        assert_eq!(after.len(), 30, "{encode}");
        let corner: Vec<bool> = after
            .iter()
            .map(|frame| alike(frame.get_pixel(4, 4), &Rgb([0, 0, 255])))
            .collect();
        let changes = corner.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(
            changes >= 5,
            "{encode}: three seconds of a clip of one second: {corner:?}"
        );
    }
}

#[test]
fn the_background_is_blurred_and_the_object_is_not() {
    let folder = folder();
    launch(
        folder.path(),
        "videotestsrc pattern=checkers-8 num-buffers=1 ! video/x-raw,width=160,height=120 ! pngenc ! filesink location=board.png",
    );
    // The ball before a board, which needs no compositor of ours.
    succeed(&mut pipeline(
        folder.path(),
        "background --in in.mp4 --with board.png --out board.mp4",
    ));
    succeed(&mut pipeline(
        folder.path(),
        "background --in board.mp4 --out blurred.mp4",
    ));
    let (before, after) = (frames(folder.path(), "board.mp4"), frames(folder.path(), "blurred.mp4"));
    assert_eq!(after.len(), before.len());
    let steps = |frame: &RgbImage| {
        let step = |x: u32, y: u32| u64::from(frame.get_pixel(x, y)[1].abs_diff(frame.get_pixel(x + 1, y)[1]));
        (0..120)
            .flat_map(|y| (0..159).map(move |x| (x, y)))
            .map(|(x, y)| step(x, y))
            .sum::<u64>()
    };
    assert!(
        steps(&after[5]) * 2 < steps(&before[5]),
        "{} {}",
        steps(&after[5]),
        steps(&before[5])
    );
}
