//! A run's curves as one SVG picture.

use crate::metrics::{Metrics, Series};

const WIDTH: f64 = 900.0;
const PANEL: f64 = 210.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 30.0;
/// Points that a curve is drawn with; longer series are averaged.
const POINTS: usize = 600;
/// One colour for each curve of a panel: the colours that regions are drawn in.
const COLOURS: [&str; 8] = [
    "#e63c3c", "#3c78e6", "#46be5a", "#f0b428", "#a050c8", "#3cbec8", "#f078b4", "#969696",
];

struct Curve {
    label: String,
    points: Series,
    dashed: bool,
}

struct Panel {
    title: &'static str,
    curves: Vec<Curve>,
    /// Bounds that do not depend on the values.
    bounds: Option<(f64, f64)>,
}

/// Draws loss, masks, region shares and speed over the steps.
pub fn svg(metrics: &Metrics) -> String {
    let panels = panels(metrics);
    let steps = panels
        .iter()
        .flat_map(|panel| &panel.curves)
        .flat_map(|curve| &curve.points);
    let last = steps.map(|point| point.0).fold(1.0, f64::max);
    let height = PANEL * panels.len().max(1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, metrics, PANEL * index as f64, last);
    }
    if panels.is_empty() {
        svg += "<text x=\"20\" y=\"40\">nothing measured yet</text>";
    }
    svg + "</svg>\n"
}

fn panels(metrics: &Metrics) -> Vec<Panel> {
    let curve = |name: &str, label: &str, dashed| Curve {
        label: label.to_owned(),
        points: thinned(metrics.get(name)),
        dashed,
    };
    // What was measured in training, and dashed the same on held-out pictures.
    let pair = |field: &str, label: &str| {
        [
            curve(&format!("train/{field}"), label, false),
            curve(&format!("held-out/{field}"), &format!("{label} held out"), true),
        ]
    };
    let is_measured = |pair: &[Curve; 2]| pair.iter().any(|curve| !curve.points.is_empty());
    let shares = (0..)
        .map(|region| pair(&format!("masks/shares/{region}"), &format!("region {region}")))
        .take_while(is_measured);
    let masks = [
        pair("masks/max_probability", "largest probability"),
        pair("masks/entropy", "entropy"),
        pair("masks/positional", "positional share"),
    ];
    let panel = |title, bounds, mut curves: Vec<Curve>| {
        curves.retain(|curve| !curve.points.is_empty());
        Panel { title, curves, bounds }
    };
    let part = Some((0.0, 1.0));
    let mut all = vec![
        panel(
            "loss",
            None,
            vec![
                curve("train/loss", "training", false),
                curve("checkpoint/loss", "held out", true),
            ],
        ),
        panel("masks", part, masks.into_iter().flatten().collect()),
        panel("share of each region", part, shares.flatten().collect()),
        panel(
            "images per second",
            None,
            vec![curve("train/images_per_second", "images/s", false)],
        ),
        panel(
            "part of the time spent waiting for input",
            part,
            vec![curve("train/input_wait", "input wait", false)],
        ),
    ];
    all.retain(|panel| !panel.curves.is_empty());
    all
}

/// Means of neighbours, so that at most [`POINTS`] are left.
fn thinned(points: &[(f64, f64)]) -> Series {
    let together = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(together)
        .map(|chunk| {
            let count = chunk.len() as f64;
            let sums = chunk
                .iter()
                .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sums.0 / count, sums.1 / count)
        })
        .collect()
}

/// Bounds of the values, a little wider, leaving out wild first ones.
fn bounds(curves: &[Curve]) -> (f64, f64) {
    let mut values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|point| point.1)
        .collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (
        values[0],
        values[(values.len() - 1) * 99 / 100].max(values[values.len() / 2]),
    );
    let room = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-9);
    (low - room, high + room)
}

fn draw(svg: &mut String, panel: &Panel, metrics: &Metrics, top: f64, last: f64) {
    let (low, high) = panel.bounds.unwrap_or_else(|| bounds(&panel.curves));
    let (width, height) = (WIDTH - LEFT - RIGHT, PANEL - TOP - BOTTOM);
    let x = |step: f64| LEFT + width * step / last;
    let y = |value: f64| top + TOP + height * (1.0 - ((value - low) / (high - low)).clamp(0.0, 1.0));
    let (right, base) = (LEFT + width, top + TOP + height);
    let text = |x: f64, y: f64, more: &str, words: &str| {
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{}</text>", escape(words))
    };
    let path = |d: String, stroke: &str, more: &str| format!("<path d=\"{d}\" stroke=\"{stroke}\"{more}/>");
    *svg += &text(LEFT, top + 20.0, "font-weight=\"bold\"", panel.title);
    for part in 0..=4 {
        let part = f64::from(part) / 4.0;
        let (value, step) = (low + (high - low) * part, last * part);
        *svg += &path(format!("M{LEFT} {:.1}H{right:.1}", y(value)), "#ddd", "");
        let (to_the_left, below) = (
            "text-anchor=\"end\" fill=\"#555\"",
            "text-anchor=\"middle\" fill=\"#555\"",
        );
        *svg += &text(LEFT - 6.0, y(value) + 4.0, to_the_left, &number(value));
        *svg += &text(x(step), base + 16.0, below, &format!("{step:.0}"));
    }
    for (step, name) in &metrics.phases {
        let at = x(*step);
        let line = format!("M{at:.1} {:.1}V{base:.1}", top + TOP);
        *svg += &path(line, "#bbb", " stroke-dasharray=\"2 3\"");
        *svg += &text(at + 3.0, top + TOP + 10.0, "fill=\"#999\" font-size=\"10\"", name);
    }
    let mut colour = 0;
    for (index, curve) in panel.curves.iter().enumerate() {
        let stroke = COLOURS[colour % COLOURS.len()];
        // A dashed curve has the colour of the plain one before it and goes on to the next.
        let next_is_partner = panel.curves.get(index + 1).is_some_and(|next| next.dashed);
        if curve.dashed || !next_is_partner {
            colour += 1;
        }
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(step, value)| format!("{:.1} {:.1}", x(*step), y(*value)))
            .collect();
        let dashes = if curve.dashed { " stroke-dasharray=\"5 3\"" } else { "" };
        let thin = format!(" fill=\"none\" stroke-width=\"1.5\"{dashes}");
        *svg += &path(format!("M{}", points.join("L")), stroke, &thin);
        if let [(step, value)] = curve.points[..] {
            let (x, y) = (x(step), y(value));
            *svg += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{stroke}\"/>");
        }
        let at = top + TOP + 10.0 + 15.0 * index as f64;
        let sample = format!("M{:.1} {at:.1}h16", right + 10.0);
        *svg += &path(sample, stroke, &format!(" stroke-width=\"2\"{dashes}"));
        *svg += &text(right + 30.0, at + 4.0, "", &curve.label);
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.001 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

/// Text for XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
