use super::*;

const SIZE: (usize, usize) = (32, 24);

fn plane(value: impl Fn(usize, usize) -> f32) -> Plane {
    Plane::from_fn(SIZE.0, SIZE.1, value)
}

fn body(x: usize, y: usize) -> bool {
    (8..20).contains(&x) && (6..18).contains(&y)
}

/// Something sways to the right by `pixels` a frame, so slowly that no frame alone shows it.
fn sways(pixels: f32) -> Flow {
    Flow {
        x: plane(|x, y| if body(x, y) { -pixels } else { 0.0 }),
        y: plane(|_, _| 0.0),
    }
}

fn follow(standing: &mut Standing, shift: f32, flow: &Flow, differs: f32) {
    standing.follow(flow, shift, || (flow.clone(), plane(|_, _| differs)));
}

/// At (14, 12), in the body, and at (28, 12), beside it.
fn moved(standing: &Standing) -> Option<(f32, f32)> {
    standing.has_moved().map(|moved| (moved.row(12)[14], moved.row(12)[28]))
}

#[test]
fn what_sways_slowly_has_moved_and_is_known_when_it_rests() {
    let mut standing = Standing::default();
    assert_eq!(moved(&standing), None);
    // 0.05 pixels a frame, of which 0.98 stays with each frame: 0.25 pixels after 6 frames, 0.5 after 12.
    for frame in 1..=14 {
        follow(&mut standing, 0.0, &sways(0.05), 0.0);
        let (body, beside) = moved(&standing).unwrap();
        assert_eq!(
            (body > 0.0, body == 1.0, beside),
            (frame > 5, frame > 11, 0.0),
            "{frame}: {body}"
        );
    }
    for _ in 0..60 {
        follow(&mut standing, 0.0, &sways(0.0), 0.0);
    }
    let (body, beside) = moved(&standing).unwrap();
    assert!(body > 0.5 && beside == 0.0, "{body} {beside}");
    // Where something else is seen nothing is known of it.
    follow(&mut standing, 0.0, &sways(0.0), 20.0);
    assert_eq!(moved(&standing), Some((0.0, 0.0)));
}

#[test]
fn what_shakes_has_not_moved() {
    let mut standing = Standing::default();
    for frame in 0..100 {
        let pixels = if frame % 2 == 0 { 0.2 } else { -0.2 };
        follow(&mut standing, 0.0, &sways(pixels), 0.0);
    }
    assert_eq!(moved(&standing), Some((0.0, 0.0)));
}

#[test]
fn what_has_moved_is_carried_along() {
    let mut standing = Standing::default();
    for _ in 0..20 {
        follow(&mut standing, 0.0, &sways(0.05), 0.0);
    }
    // What is beside it now shows what it showed before.
    let jumps = Flow {
        x: plane(|x, _| if x > 22 { -12.0 } else { 0.0 }),
        y: plane(|_, _| 0.0),
    };
    standing.follow(&jumps, 0.0, || (sways(0.0), plane(|_, _| 0.0)));
    assert_eq!(moved(&standing), Some((1.0, 1.0)));
}

#[test]
fn a_camera_that_moves_forgets() {
    let mut standing = Standing::default();
    for _ in 0..20 {
        follow(&mut standing, 0.05, &sways(0.05), 0.0);
    }
    assert!(standing.is_known());
    // It stands less and less surely.
    follow(&mut standing, 2.0, &sways(0.0), 0.0);
    assert_eq!(moved(&standing), Some((0.9, 0.0)));
    for _ in 0..30 {
        follow(&mut standing, 2.0, &sways(0.0), 0.0);
    }
    assert!(!standing.is_known());
    assert_eq!(moved(&standing), None);
    // One that moves from the start is not looked at.
    let mut standing = Standing::default();
    standing.follow(&sways(0.0), 0.4, || unreachable!());
    assert_eq!((standing.sure(), moved(&standing)), (0.0, None));
}
