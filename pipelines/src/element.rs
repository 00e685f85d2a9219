//! Elements by name, with errors that say what to install or to look up.

use anyhow::{Context, Result, anyhow, ensure};
use gst::prelude::*;
use gstreamer as gst;

/// Makes an element, or says which package has it.
///
/// # Errors
/// If the element is not installed.
pub fn element(name: &str, package: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name)
        .build()
        .with_context(|| format!("the GStreamer element `{name}` is missing; install the package {package}"))
}

/// Sets a property of `factorseg`, in the notation of `gst-launch-1.0`.
///
/// # Errors
/// If there is no such property, or it refuses the value.
pub fn set_property(element: &gst::Element, name: &str, value: &str) -> Result<()> {
    let spec = element
        .find_property(name)
        .with_context(|| format!("factorseg has no property `{name}`; see `gst-inspect-1.0 factorseg`"))?;
    ensure!(
        spec.flags().contains(gst::glib::ParamFlags::WRITABLE),
        "the property `{name}` of factorseg is read-only"
    );
    let value = gst::glib::Value::deserialize_with_pspec(value, &spec)
        .map_err(|_| anyhow!("`{value}` is no value for the property `{name}`; see `gst-inspect-1.0 factorseg`"))?;
    element.set_property_from_value(name, &value);
    Ok(())
}
