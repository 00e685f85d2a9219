use super::*;

/// A disc of another colour on what brightens to the right.
fn disc(width: usize, height: usize, center: (usize, usize), radius: usize) -> Pixels {
    let is_disc = |x: usize, y: usize| x.abs_diff(center.0).pow(2) + y.abs_diff(center.1).pow(2) < radius.pow(2);
    let color = |(x, y)| match is_disc(x, y) {
        true => [230, 160, 40],
        false => [40, 70 + (60 * x / width) as u8, 90],
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Pixels {
        width,
        height,
        data: places.flat_map(color).collect(),
        object: None,
    }
}

fn objects(pixels: &Pixels) -> Vec<bool> {
    pixels
        .object
        .as_ref()
        .unwrap()
        .iter()
        .map(|value| *value > 127)
        .collect()
}

#[test]
fn a_whole_picture_is_shown_with_its_object() {
    let teacher = Teacher::load(CheckpointSource::Embedded).unwrap();
    // Square and wide, at the network's size and above it.
    for (width, height, center, radius) in [
        (64, 64, (30, 36), 14),
        (112, 112, (50, 60), 25),
        (150, 90, (100, 40), 24),
    ] {
        let pixels = disc(width, height, center, radius);
        let shown = teacher.shown(None, &pixels).unwrap();
        let found = objects(&shown);
        let inside =
            |at: usize| (at % width).abs_diff(center.0).pow(2) + (at / width).abs_diff(center.1).pow(2) < radius.pow(2);
        let (both, any) = (0..width * height).fold((0, 0), |(both, any), at| {
            (
                both + usize::from(found[at] && inside(at)),
                any + usize::from(found[at] || inside(at)),
            )
        });
        assert!(both * 10 > any * 8, "{width}x{height}: {both} of {any}");
        assert_eq!((shown.width, shown.height, &shown.data), (width, height, &pixels.data));
    }
}

#[test]
fn what_has_an_index_is_looked_at_once() {
    let teacher = Teacher::load(CheckpointSource::Embedded).unwrap();
    let (first, second) = (disc(64, 64, (30, 30), 14), disc(64, 64, (40, 20), 9));
    let shown = |index, pixels| objects(&teacher.shown(index, pixels).unwrap());
    let of_first = shown(Some(7), &first);
    assert_eq!(shown(Some(7), &second), of_first);
    let of_second = shown(Some(8), &second);
    assert!(of_second != of_first && shown(None, &second) == of_second && shown(None, &first) == of_first);
}

#[test]
fn known_objects_labels_and_several_parts_stay_as_they_are() {
    let (teacher, labels) = (
        Teacher::load(CheckpointSource::Embedded).unwrap(),
        Teacher::of_labels(2),
    );
    let plain = disc(64, 64, (30, 30), 14);
    let known = Pixels {
        object: Some(vec![9; 64 * 64].into()),
        ..plain.clone()
    };
    assert_eq!(*teacher.shown(Some(0), &known).unwrap(), known);
    assert_eq!(*labels.shown(Some(0), &plain).unwrap(), plain);
    let faces = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/checkpoints/faces.safetensors");
    let faces = Teacher::load(CheckpointSource::from_path(faces)).unwrap();
    assert_eq!(*faces.shown(Some(0), &plain).unwrap(), plain);
}
