use super::*;

fn validate(competition: &Competition) -> Result<(), String> {
    let check = |field: &str, _: String, ok: bool, _: &'static str| match ok {
        true => Ok(()),
        false => Err(RecipeError::Unknown { name: field.to_owned() }),
    };
    competition.validate(&check).map_err(|error| error.to_string())
}

#[test]
fn sights_read_as_they_are_documented() {
    let text = "frame_edges = \"sides_and_bottom\"\ncentre = 0.16\nsurroundings = [0.03, 0.16]\nbottom = 0.1";
    let read: Competition = toml::from_str(text).unwrap();
    let expected = Competition {
        frame_edges: FrameEdges::SidesAndBottom,
        centre: 0.16,
        surroundings: (0.03, 0.16),
        bottom: 0.1,
        ..Competition::default()
    };
    assert_eq!(read, expected);
    assert_eq!(validate(&read), Ok(()));
    assert_eq!(validate(&Competition::default()), Ok(()));
}

#[test]
fn what_cannot_be_seen_is_refused() {
    for centre in [-0.1, 0.6, f64::NAN] {
        let competition = Competition {
            centre,
            ..Competition::default()
        };
        assert!(validate(&competition).unwrap_err().contains("competition.centre"));
    }
    for surroundings in [(0.2, 0.1), (-0.1, 0.2), (0.1, 1.5), (0.1, 0.1), (0.1, f64::NAN)] {
        let competition = Competition {
            surroundings,
            ..Competition::default()
        };
        assert!(validate(&competition).unwrap_err().contains("competition.surroundings"));
    }
    for bottom in [-0.1, 0.6, f64::NAN] {
        let competition = Competition {
            bottom,
            ..Competition::default()
        };
        assert!(validate(&competition).unwrap_err().contains("competition.bottom"));
    }
}
