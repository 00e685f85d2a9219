//! The properties of the element that the page shows, as JSON.

use anyhow::{Result, ensure};
use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use serde_json::{Map, Value, json};

use crate::parse::set_properties;

/// What can be changed, in the page's order.
const CONTROLS: [&str; 9] = [
    "overlay",
    "alpha",
    "foreground-regions",
    "threshold",
    "smoothing",
    "color-model",
    "motion-model",
    "refine",
    "target-class",
];

/// Name, description, value and, where there are some, choices or limits of each control.
pub fn describe(element: &gst::Element) -> Value {
    CONTROLS.iter().filter_map(|name| control(element, name)).collect()
}

fn control(element: &gst::Element, name: &str) -> Option<Value> {
    let spec = element.find_property(name)?;
    let value = element.property_value(name);
    let mut control = json!({ "name": name, "title": spec.nick(), "about": spec.blurb() });
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecEnum>() {
        control["choices"] = spec.enum_class().values().iter().map(|choice| choice.nick()).collect();
        control["value"] = glib::EnumValue::from_value(&value)?.1.nick().into();
    } else if let Some(spec) = spec.downcast_ref::<glib::ParamSpecDouble>() {
        control["minimum"] = spec.minimum().into();
        control["maximum"] = spec.maximum().into();
        control["value"] = value.get::<f64>().ok()?.into();
    } else if let Ok(on) = value.get::<bool>() {
        control["value"] = on.into();
    } else {
        control["value"] = value.get::<String>().ok()?.into();
    }
    Some(control)
}

/// Sets a control.
///
/// # Errors
/// If it is none, or refuses the value.
pub fn set(element: &gst::Element, name: &str, value: &str) -> Result<()> {
    ensure!(
        CONTROLS.contains(&name),
        "there is no control `{name}`; there are {}",
        CONTROLS.join(", ")
    );
    set_properties(element, &[(name.to_owned(), value.to_owned())])
}

/// The element's `stats`.
pub fn stats(element: &gst::Element) -> Value {
    let stats = element.property::<gst::Structure>("stats");
    let fields = stats.iter().filter_map(|(name, value)| {
        let number = value.get::<u64>().ok().map(Value::from);
        Some((
            name.to_string(),
            number.or_else(|| value.get::<String>().ok().map(Value::from))?,
        ))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}
