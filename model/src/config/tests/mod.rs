use super::*;

#[test]
fn every_preset_is_valid_and_named() {
    for preset in Preset::ALL {
        assert_eq!(ModelConfig::preset(preset).validate(), Ok(()));
        assert_eq!(preset.to_string().parse(), Ok(preset));
    }
    assert!("paper-65".parse::<Preset>().is_err());
}

/// What was written before there were head channels and `resblock_updown` is read, and still written in the same way.
#[test]
fn fields_of_other_layouts_are_left_out_where_they_say_nothing() {
    let plain = ModelConfig::preset(Preset::Paper64);
    let text = serde_json::to_string(&plain).unwrap();
    assert!(text.ends_with(r#""beta_end":0.02}}"#), "{text}");
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), plain);
    let other = ModelConfig {
        attention_head_channels: Some(64),
        resblock_updown: true,
        ..plain
    };
    let text = serde_json::to_string(&other).unwrap();
    assert!(
        text.ends_with(r#""attention_head_channels":64,"resblock_updown":true}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), other);
    assert_eq!([128, 256, 384].map(|channels| other.heads(channels)), [2, 4, 6]);
    for decoding in Decoding::ALL.into_iter().skip(1) {
        let ablation = ModelConfig {
            decoding,
            ..other.clone()
        };
        let text = serde_json::to_string(&ablation).unwrap();
        assert!(
            text.ends_with(&format!(r#""decoding":"{}"}}"#, decoding.name())),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), ablation);
        let error = serde_json::from_str::<ModelConfig>(&text.replace(decoding.name(), "none")).unwrap_err();
        assert!(error.to_string().contains("masked-middle"), "{error}");
    }
}

#[test]
fn a_hostile_configuration_is_refused_by_field() {
    let valid = ModelConfig::preset(Preset::Tiny);
    type Damage = fn(&mut ModelConfig);
    let cases: [(&str, Damage); 12] = [
        ("base_channels", |c| c.base_channels = usize::MAX),
        ("base_channels", |c| c.base_channels = 7),
        ("channel_multipliers (length)", |c| c.channel_multipliers.clear()),
        ("channel_multipliers", |c| c.channel_multipliers[1] = usize::MAX),
        ("regions", |c| c.regions = 0),
        ("norm_groups", |c| c.norm_groups = 5),
        ("attention_heads", |c| c.attention_heads = 7),
        ("attention_head_channels", |c| c.attention_head_channels = Some(0)),
        ("attention_head_channels", |c| c.attention_head_channels = Some(5)),
        ("image_size", |c| c.image_size = 33),
        ("schedule.beta_end", |c| c.schedule.beta_end = f64::NAN),
        ("schedule.cosine_steps", |c| c.schedule.cosine_steps = Some(1500)),
    ];
    for (expected, damage) in cases {
        let mut config = valid.clone();
        damage(&mut config);
        match config.validate() {
            Err(ConfigError::Field { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn attention_stays_at_its_levels_in_pictures_of_another_size() {
    let network = ModelConfig::preset(Preset::Paper64);
    let larger = network.resized(96);
    assert_eq!(
        (larger.image_size, &larger.attention_resolutions[..]),
        (96, &[24, 12][..])
    );
    assert_eq!(larger.validate(), Ok(()));
    assert_eq!(larger.architecture(), network.architecture());
    assert_eq!(larger.resized(64), network);
    assert!(network.resized(usize::MAX).validate().is_err());
}
