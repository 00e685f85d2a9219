use super::*;

/// Matchings that SciPy found, and DAVIS-2017's measure of sequences counted with NumPy (`tests/reference/davis_metrics.py`).
#[test]
fn agrees_with_scipy() {
    #[derive(serde::Deserialize)]
    struct Matching {
        worths: Vec<Vec<f64>>,
        columns: Vec<usize>,
    }
    #[derive(serde::Deserialize)]
    struct Sequence {
        width: u32,
        height: u32,
        objects: Vec<String>,
        regions: Vec<String>,
        count: usize,
        j: Vec<f64>,
        f: Vec<f64>,
    }
    #[derive(serde::Deserialize)]
    struct Reference {
        matchings: Vec<Matching>,
        sequences: Vec<Sequence>,
    }
    let text = include_str!("../../../../../tests/reference/davis_metrics.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    assert!(reference.matchings.len() >= 10 && reference.sequences.len() >= 3);
    for case in reference.matchings {
        assert_eq!(matching(&case.worths), case.columns, "{:?}", case.worths);
    }
    assert!(matching(&[]).is_empty());
    for case in reference.sequences {
        let mut objects = Objects::new(case.count, &[1, 2]);
        for (numbers, regions) in case.objects.iter().zip(&case.regions) {
            let digits = |text: &str| -> Vec<u8> { text.bytes().map(|digit| digit - b'0').collect() };
            let numbers = digits(numbers);
            let frame = Frame {
                picture: image::RgbImage::new(case.width, case.height),
                object: numbers.iter().map(|number| (1..9).contains(number)).collect(),
                void: numbers.iter().map(|number| *number == 9).collect(),
                numbers: numbers.iter().map(|number| number % 9).collect(),
            };
            objects.add(&frame, &digits(regions));
        }
        let found = objects.scores();
        assert_eq!(found.len(), case.count);
        for (object, (j, f)) in found.iter().zip(case.j.iter().zip(&case.f)) {
            assert!(
                (object.j.mean - j).abs() < 1e-9 && (object.f.mean - f).abs() < 1e-9,
                "{object:?}: {j}, {f}"
            );
        }
    }
}
