use super::*;
use factorseg_model::ClassLabel;
use gstreamer::prelude::*;

fn engine() -> EngineInfo {
    EngineInfo {
        regions: 3,
        timesteps: 1000,
        classes: vec![ClassLabel {
            wordnet_id: None,
            name: "tabby".into(),
        }],
        foreground_regions: vec![1],
        ..EngineInfo::default()
    }
}

#[test]
fn the_defaults_make_a_plan() {
    let plan = Settings::default().plan(&engine()).unwrap();
    assert_eq!(plan.options, SegmenterOptions::default());
    assert_eq!(plan.options.timestep, 30);
    assert_eq!(plan.foreground, [false, true, false]);
    assert_eq!(plan.colors.len(), PALETTE.len());
    assert_eq!(&*plan.class, "none");
}

#[test]
fn the_application_has_a_core_where_there_are_many() {
    assert_eq!([1, 2, 3, 4, 8].map(default_threads), [0, 0, 0, 3, 7]);
}

#[test]
fn values_mean_what_they_say() {
    let settings = Settings {
        target_class: "Tabby".into(),
        // The second comma as GStreamer brings it back from a preset.
        colors: "#ff0000, 00ff00\\,0x0000ff".into(),
        foreground_regions: "1,3".into(),
        ..Settings::default()
    };
    let plan = settings.plan(&engine()).unwrap();
    assert_eq!((plan.options.class, &*plan.class), (Some(0), "tabby"));
    assert_eq!(plan.colors, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(plan.foreground, [true, false, true]);
    let unknowing = EngineInfo {
        foreground_regions: vec![],
        ..engine()
    };
    assert_eq!(Settings::default().plan(&unknowing).unwrap().foreground, [true; 3]);
}

#[test]
fn errors_name_the_property_and_the_value() {
    for (property, value, word) in [
        ("target-class", "unicorn".to_value(), "unicorn"),
        ("class", "unicorn".to_value(), "unicorn"),
        ("timestep", 1001u32.to_value(), "1001"),
        ("colors", "ff0000,red".to_value(), "red"),
        ("colors", "fff".to_value(), "fff"),
        ("foreground-regions", "4".to_value(), "4"),
        ("foreground-regions", "0".to_value(), "0"),
    ] {
        let mut settings = Settings::default();
        settings.set(property, &value);
        let message = settings.plan(&engine()).unwrap_err().to_string();
        assert!(message.contains(property) && message.contains(word), "{message}");
    }
    let mut settings = Settings::default();
    settings.set("device", &"gpu".to_value());
    assert!(settings.engine().unwrap_err().to_string().contains("gpu"));
}
