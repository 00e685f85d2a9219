//! A run's curves as one SVG picture.

use std::fmt::Write;

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
    let mut shares = Vec::new();
    for region in 0.. {
        let (train, held_out) = (
            format!("train/masks/shares/{region}"),
            format!("held-out/masks/shares/{region}"),
        );
        if metrics.get(&train).is_empty() && metrics.get(&held_out).is_empty() {
            break;
        }
        shares.push(curve(&train, &format!("region {region}"), false));
        shares.push(curve(&held_out, &format!("region {region} held out"), true));
    }
    let mut masks = Vec::new();
    for (field, label) in [
        ("max_probability", "largest probability"),
        ("entropy", "entropy"),
        ("positional", "positional share"),
    ] {
        masks.push(curve(&format!("train/masks/{field}"), label, false));
        masks.push(curve(
            &format!("held-out/masks/{field}"),
            &format!("{label} held out"),
            true,
        ));
    }
    let all = vec![
        Panel {
            title: "loss",
            curves: vec![
                curve("train/loss", "training", false),
                curve("checkpoint/loss", "held out", true),
            ],
            bounds: None,
        },
        Panel {
            title: "masks",
            curves: masks,
            bounds: Some((0.0, 1.0)),
        },
        Panel {
            title: "share of each region",
            curves: shares,
            bounds: Some((0.0, 1.0)),
        },
        Panel {
            title: "images per second",
            curves: vec![curve("train/images_per_second", "images/s", false)],
            bounds: None,
        },
        Panel {
            title: "part of the time spent waiting for input",
            curves: vec![curve("train/input_wait", "input wait", false)],
            bounds: Some((0.0, 1.0)),
        },
    ];
    all.into_iter()
        .filter_map(|mut panel| {
            panel.curves.retain(|curve| !curve.points.is_empty());
            (!panel.curves.is_empty()).then_some(panel)
        })
        .collect()
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
    let text = |svg: &mut String, x: f64, y: f64, more: &str, words: &str| {
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{}</text>", escape(words));
    };
    text(svg, LEFT, top + 20.0, "font-weight=\"bold\"", panel.title);
    for part in 0..=4 {
        let value = low + (high - low) * f64::from(part) / 4.0;
        let at = y(value);
        let _ = write!(svg, "<path d=\"M{LEFT} {at:.1}H{right:.1}\" stroke=\"#ddd\"/>");
        text(
            svg,
            LEFT - 6.0,
            at + 4.0,
            "text-anchor=\"end\" fill=\"#555\"",
            &number(value),
        );
        let step = last * f64::from(part) / 4.0;
        text(
            svg,
            x(step),
            base + 16.0,
            "text-anchor=\"middle\" fill=\"#555\"",
            &format!("{step:.0}"),
        );
    }
    for (step, name) in &metrics.phases {
        let at = x(*step);
        let _ = write!(
            svg,
            "<path d=\"M{at:.1} {:.1}V{base:.1}\" stroke=\"#bbb\" stroke-dasharray=\"2 3\"/>",
            top + TOP
        );
        text(svg, at + 3.0, top + TOP + 10.0, "fill=\"#999\" font-size=\"10\"", name);
    }
    let mut colour = 0;
    for (index, curve) in panel.curves.iter().enumerate() {
        let stroke = COLOURS[colour % COLOURS.len()];
        // A dashed curve has the colour of the plain one before it and goes on to the next.
        let next_is_partner = panel.curves.get(index + 1).is_some_and(|next| next.dashed);
        if curve.dashed || !next_is_partner {
            colour += 1;
        }
        let mut path = String::new();
        for (step, value) in &curve.points {
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if path.is_empty() { "M" } else { "L" },
                x(*step),
                y(*value)
            );
        }
        let dashes = if curve.dashed { " stroke-dasharray=\"5 3\"" } else { "" };
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\"{dashes}/>"
        );
        if let [(step, value)] = curve.points[..] {
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{stroke}\"/>",
                x(step),
                y(value)
            );
        }
        let at = top + TOP + 10.0 + 15.0 * index as f64;
        let _ = write!(
            svg,
            "<path d=\"M{:.1} {at:.1}h16\" stroke=\"{stroke}\" stroke-width=\"2\"{dashes}/>",
            right + 10.0
        );
        text(svg, right + 30.0, at + 4.0, "", &curve.label);
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
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_within_their_panels() {
        let mut metrics = Metrics::default();
        metrics.series.insert(
            "train/loss".into(),
            (0..5000).map(|i| (f64::from(i), 1.0 / f64::from(i + 1))).collect(),
        );
        metrics.series.insert("train/masks/shares/0".into(), vec![(10.0, 0.5)]);
        metrics.phases.push((1.0, "a <b>".into()));
        let svg = svg(&metrics);
        assert!(svg.contains(">loss</text>") && svg.contains("region 0</text>") && svg.contains("a &lt;b&gt;"));
        assert!(!svg.contains("images per second") && !svg.contains("NaN"));
        let path = svg
            .split("<path d=\"M")
            .find(|path| path.matches('L').count() > 100)
            .unwrap();
        let points: Vec<&str> = path.split('"').next().unwrap().split('L').collect();
        assert!((500..=600).contains(&points.len()), "{}", points.len());
        for point in points {
            let (x, y) = point.split_once(' ').unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse().unwrap()), "{point}");
            assert!((TOP..=PANEL - BOTTOM).contains(&y.parse().unwrap()), "{point}");
        }
        assert!(super::svg(&Metrics::default()).contains("nothing measured yet"));
    }
}
