//! The diffusion process and the color model against an independent NumPy implementation (`tests/reference/`, which also says
//! how the fixtures were made). The network's own tests are in `factorseg-kernels` and `factorseg-network`.

use std::path::PathBuf;

use factorseg_model::{InputImage, NoiseSchedule, RegionMap, ScheduleConfig};
use factorseg_refine::{ColorModel, FillHoles};

const TOLERANCE: f32 = 1e-4;

fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/fixtures")
        .join(name)
}

#[test]
fn the_diffusion_process_agrees() {
    let json = std::fs::read_to_string(fixture_path("schedule.json")).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&json).unwrap();
    let config: ScheduleConfig = serde_json::from_value(fixture["schedule"].clone()).unwrap();
    let schedule = NoiseSchedule::new(&config);

    let rows = |name: &str| fixture[name].as_array().unwrap().clone();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let timestep = |row: &serde_json::Value| row["t"].as_u64().unwrap() as usize;
    let pixels = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|v| number(v) as f32).collect()
    };
    let assert_close = |found: &[f32], expected: &[f32], what: &str| {
        assert_eq!(found.len(), expected.len(), "{what}");
        // A fixture of zeros would hide every error.
        assert!(expected.iter().any(|value| value.abs() > 1e-2), "{what}");
        let difference = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(difference < TOLERANCE, "{what}: differs by {difference}");
    };

    for row in rows("alpha_bar") {
        let actual = schedule.alpha_bar(timestep(&row));
        assert!((actual - number(&row["value"])).abs() < 1e-12, "{row}: {actual}");
    }
    for row in rows("add_noise") {
        let (image, noise) = schedule.mix(timestep(&row));
        let both = pixels(&row["x_0"]).into_iter().zip(pixels(&row["noise"]));
        let x_t: Vec<f32> = both.map(|(x, e)| image as f32 * x + noise as f32 * e).collect();
        assert_close(&x_t, &pixels(&row["x_t"]), &format!("Eq. 1: {row}"));
    }
    for row in rows("ddpm_step") {
        let mut x = pixels(&row["x_t"]);
        schedule.denoise(
            &mut x,
            &pixels(&row["noise"]),
            &pixels(&row["z"]),
            (timestep(&row), timestep(&row) - 1),
        );
        assert_close(&x, &pixels(&row["x_previous"]), &format!("Eq. 9: {row}"));
    }
}

#[test]
fn colours_judge_as_in_the_reference() {
    #[derive(serde::Deserialize)]
    struct Case {
        regions: usize,
        width: usize,
        height: usize,
        foreground: Vec<bool>,
        picture: Vec<f32>,
        before: Vec<f32>,
        after: Vec<f32>,
    }
    let json = std::fs::read_to_string(fixture_path("color_model.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&json).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let image = InputImage {
            width: case.width,
            height: case.height,
            data: case.picture,
        };
        let mut map = RegionMap {
            regions: case.regions,
            width: case.width,
            height: case.height,
            probabilities: case.before.clone(),
        };
        let mut colors = ColorModel::default();
        colors.fill_holes = FillHoles::All;
        colors.refine(&image, &mut map, &case.foreground);
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&case.before, &case.after) > 0.1);
        let error = far(&map.probabilities, &case.after);
        assert!(error < TOLERANCE, "{} regions: {error}", case.regions);
    }
}

#[test]
fn distances_from_the_frame_are_those_of_the_reference() {
    #[derive(serde::Deserialize)]
    struct Case {
        width: usize,
        height: usize,
        picture: Vec<f32>,
        distances: Vec<f32>,
    }
    let json = std::fs::read_to_string(fixture_path("barrier.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&json).unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let image = InputImage {
            width: case.width,
            height: case.height,
            data: case.picture,
        };
        let found = factorseg_refine::barrier::distances(&image);
        assert_eq!(found.size(), (case.width, case.height));
        for (at, (found, expected)) in found.values.iter().zip(&case.distances).enumerate() {
            // L*, a* and b* have constants of four digits.
            assert!((found - expected).abs() < 2e-2, "{at}: {found} instead of {expected}");
        }
        let inner = case.width > 2 && case.height > 2;
        assert_eq!(case.distances.iter().any(|distance| *distance > 5.0), inner);
    }
}
