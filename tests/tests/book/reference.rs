//! The pages of reference are written from the code: properties of the element, and what the programs say of themselves.
//!
//! After a wanted change: `UPDATE_GOLDEN=1 cargo test --release -p factorseg-tests --test book`.

use std::fmt::Write;
use std::process::Command;

use factorseg_tests::{built, succeed};
use gst::glib;
use gst::glib::prelude::*;
use gst::prelude::*;
use gstreamer as gst;

use crate::markdown::root;
use crate::stand_ins::PROGRAMS;

/// Holds a page against what it should be.
fn is_fresh(page: &str, text: &str) {
    let path = root().join("docs").join(page);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        written == text,
        "docs/{page} is stale (UPDATE_GOLDEN=1 writes it): {differs:?}"
    );
}

/// Values of a property, and its default, as they are typed.
fn values(spec: &glib::ParamSpec) -> (String, String) {
    let default = spec.default_value();
    let range = |least: &dyn std::fmt::Display, most: &dyn std::fmt::Display| format!("{least} to {most}");
    if !spec.flags().contains(glib::ParamFlags::WRITABLE) {
        return ("read only".to_owned(), String::new());
    }
    let plain = default.serialize().map(|text| text.to_string()).unwrap_or_default();
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecEnum>() {
        let default = spec.enum_class();
        let default = default
            .value(spec.default_value_as_i32())
            .map(|value| value.nick().to_owned());
        return ("one of".to_owned(), default.unwrap_or_default());
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt>() {
        return (range(&spec.minimum(), &spec.maximum()), plain);
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt64>() {
        return (range(&spec.minimum(), &spec.maximum()), plain);
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecDouble>() {
        return (
            range(&spec.minimum(), &spec.maximum()),
            spec.default_value().to_string(),
        );
    }
    match spec.value_type() {
        glib::Type::BOOL => ("`true`, `false`".to_owned(), plain),
        glib::Type::STRING => (
            "text".to_owned(),
            default.get::<Option<String>>().unwrap().unwrap_or_default(),
        ),
        _ => ("text".to_owned(), plain),
    }
}

/// A table of the properties that a type has itself.
fn table(type_: glib::Type, specs: &[glib::ParamSpec]) -> String {
    let mut text = "| property | values | default | what it does |\n|---|---|---|---|\n".to_owned();
    let own = specs.iter().filter(|spec| spec.owner_type() == type_);
    for spec in own.filter(|spec| !spec.flags().contains(glib::ParamFlags::DEPRECATED)) {
        let (values, default) = values(spec);
        let default = if default.is_empty() {
            default
        } else {
            format!("`{default}`")
        };
        let blurb = spec.blurb().unwrap_or_default();
        writeln!(text, "| `{}` | {values} | {default} | {blurb} |", spec.name()).unwrap();
        if let Some(spec) = spec.downcast_ref::<glib::ParamSpecEnum>() {
            for value in spec.enum_class().values() {
                let says = value.name().split_once(": ").map_or(value.name(), |(_, says)| says);
                writeln!(text, "| | `{}` | | {says} |", value.nick()).unwrap();
            }
        }
    }
    text
}

#[test]
fn the_page_of_properties_is_the_element_s() {
    gst::init().unwrap();
    gstfactorseg::plugin_register_static().unwrap();
    let element = gst::ElementFactory::make("factorseg").build().unwrap();
    let pad = element.request_pad_simple("mask_%u").unwrap();
    let text = format!(
        "# Properties of the element\n\nThis page is written from the element itself. [The element](element.md) says what to use them for.\n\n\
         All of them can be set while the element plays.\n\n{}\n## Of a mask pad\n\nSet as `mask_0::format=foreground`.\n\n{}",
        table(element.type_(), &element.list_properties()),
        table(pad.type_(), &pad.list_properties()),
    );
    is_fresh("reference-element.md", &text);
}

/// The help of a program, and of its commands below it.
fn help(program: &str, commands: &[&str], text: &mut String) {
    let said = succeed(Command::new(built(program)).args(commands).arg("--help"));
    let title = [&[program][..], commands].concat().join(" ");
    writeln!(
        text,
        "\n## {title}\n\n```text\n{}\n```",
        said.trim_end()
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    )
    .unwrap();
    let listed = said
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    for command in listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
    {
        help(program, &[commands, &[command]].concat(), text);
    }
}

#[test]
fn the_page_of_programs_is_what_they_say() {
    let mut text = "# Programs and their options\n\nThis page is what the programs print with `--help`.\n".to_owned();
    for program in PROGRAMS {
        help(program, &[], &mut text);
    }
    is_fresh("reference-programs.md", &text);
}
