//! Presets, in a process of its own: where they are kept is asked of the environment once.

use gst::prelude::*;
use gstreamer as gst;

#[test]
fn presets_are_shipped_saved_and_loaded() {
    let home = tempfile::tempdir().unwrap();
    // SAFETY: nothing else runs yet in this process, which has one test.
    unsafe {
        std::env::set_var("XDG_DATA_HOME", home.path());
        std::env::set_var("GST_PRESET_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/presets"));
    }
    gst::init().unwrap();
    gstfactorseg::plugin_register_static().unwrap();
    let make = || {
        let element = gst::ElementFactory::make("factorseg").build().unwrap();
        element.dynamic_cast::<gst::Preset>().unwrap()
    };
    let element = make();
    assert_eq!(
        element.preset_names(),
        [
            "blurred background",
            "bright tint",
            "exact masks",
            "paper masks",
            "virtual background"
        ]
    );
    element.load_preset("virtual background").unwrap();
    let written = |preset: &gst::Preset, name: &str| preset.property_value(name).serialize().unwrap().to_string();
    for (name, value) in [
        ("overlay", "foreground"),
        ("mode", "latest"),
        ("refine", "guided"),
        ("smoothing", "0.5"),
    ] {
        assert_eq!(written(&element, name), value);
    }
    // Everything a preset says must be a property's value.
    let text = gstfactorseg::PRESETS;
    for section in text.split("\n[").skip(1) {
        let (preset, lines) = section.split_once("]\n").unwrap();
        element.load_preset(preset).unwrap();
        for line in lines
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("_meta"))
        {
            let (name, value) = line.split_once('=').unwrap();
            // One value has several spellings: 0.55 is written with 17 digits, text in quotes.
            let read = gst::glib::Value::deserialize(value, element.property_type(name).unwrap()).unwrap();
            assert_eq!(written(&element, name), read.serialize().unwrap(), "{preset}");
        }
    }
    element.set_property("target-class", "tabby");
    element.set_property("background-color", 0x80ff_0000u32);
    element.set_property("seed", u64::MAX);
    element.save_preset("mine").unwrap();
    let other = make();
    other.load_preset("mine").unwrap();
    for property in element.list_properties() {
        let both = gst::glib::ParamFlags::READWRITE;
        if property.owner_type() == element.type_() && property.flags().contains(both) {
            let name = property.name();
            // GStreamer brings back a list with a backslash before each comma, which is read as the list.
            let [saved, loaded] = [&element, &other].map(|preset| written(preset, name).replace('\\', ""));
            assert_eq!(saved, loaded, "{name}");
        }
    }
}
