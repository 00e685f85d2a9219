//! Outlines of regions: a line of even width along the border where a region begins to win, drawn in the
//! frame's own planes.
//!
//! The margin of a region (its probability less the best other one's) is interpolated bilinearly; divided
//! by its gradient it is the distance to the border in pixels, which gives smooth lines at any size.

use factorseg_model::RegionMap;

use super::grid::{Place, RowPair, columns, rows};
use crate::engine::mask::chosen;
use crate::pixels::colorimetry::Rgb;
use crate::pixels::layout::{Channel, Component, Layout, PlaneMut};

/// The width of the lines in pixels for a frame of this size.
pub fn line_width(width: usize, height: usize) -> f32 {
    (width.min(height) as f32 / 120.0).max(1.5)
}

/// By how much a region leads at each cell, `-1..=1`.
fn margins(map: &RegionMap, region: usize) -> Vec<f32> {
    let cells = map.width * map.height;
    (0..cells)
        .map(|cell| {
            let others = (0..map.regions)
                .filter(|other| *other != region)
                .map(|other| map.probabilities[other * cells + cell])
                .fold(0.0, f32::max);
            map.probabilities[region * cells + cell] - others
        })
        .collect()
}

/// A row of the margins' grid spread to the width of a component.
#[derive(Default)]
struct SpreadRow {
    values: Vec<f32>,
    /// Per square pixel of the frame.
    slopes: Vec<f32>,
    /// The smallest margin, either way.
    nearest: f32,
    positive: bool,
    negative: bool,
}

impl SpreadRow {
    fn spread(&mut self, row: &[f32], columns: &[Place], scale: f32) {
        self.values.clear();
        self.slopes.clear();
        (self.nearest, self.positive, self.negative) = (f32::INFINITY, false, false);
        for place in columns {
            let value = place.of(row);
            self.nearest = self.nearest.min(value.abs());
            self.positive |= value > 0.0;
            self.negative |= value <= 0.0;
            self.values.push(value);
            self.slopes.push((row[place.second] - row[place.first]) * scale);
        }
    }
}

/// Draws the outlines of the chosen regions with opacity `alpha`, each in its colour.
pub fn paint(
    layout: &Layout,
    map: &RegionMap,
    is_foreground: &[bool],
    colors: &[Rgb],
    alpha: f32,
    frame: &mut [PlaneMut<'_>],
) {
    for region in chosen(is_foreground) {
        let margins = margins(map, region);
        let samples = layout.colorimetry.samples_of(colors[region % colors.len()]);
        let colors = layout
            .components
            .iter()
            .filter_map(|component| match component.channel {
                Channel::Color(index) => Some((*component, samples[index])),
                Channel::Alpha => None,
            });
        let mut rest: Vec<(Component, f32)> = colors.collect();
        // Components of one size share the distances.
        while let Some((shape, _)) = rest.first().copied() {
            let same = |other: &Component| (other.width, other.height) == (shape.width, shape.height);
            let (targets, others) = rest.into_iter().partition(|(other, _)| same(other));
            rest = others;
            paint_components(layout, map, &margins, (&shape, &targets), alpha, frame);
        }
    }
}

fn paint_components(
    layout: &Layout,
    map: &RegionMap,
    margins: &[f32],
    (shape, targets): (&Component, &[(Component, f32)]),
    alpha: f32,
    frame: &mut [PlaneMut<'_>],
) {
    // As wide as told where pixels are shown as squares.
    let (width, height) = layout.square_size();
    let reach = line_width(width, height) / 2.0 + 0.5;
    let columns = columns(shape, map.width);
    let scale_x = map.width as f32 / width as f32;
    let scale_y = map.height as f32 / height as f32;
    // Margins of neighbouring cells differ by at most 2, which bounds the gradient.
    let steepest = 2.0 * scale_x.hypot(scale_y);
    let mut pair = RowPair::<SpreadRow>::default();
    let mut coverage = vec![0.0f32; shape.width];
    for (y, place) in rows(shape, map.height).iter().enumerate() {
        let [top, bottom] = pair.around(place, |row, out| {
            out.spread(&margins[row * map.width..(row + 1) * map.width], &columns, scale_x);
        });
        let crosses = (top.positive || bottom.positive) && (top.negative || bottom.negative);
        if !crosses && top.nearest.min(bottom.nearest) > reach * steepest {
            continue;
        }
        let fraction = place.fraction;
        // Equal lengths, told to the compiler once.
        let [values, slopes] = [[&top.values, &bottom.values], [&top.slopes, &bottom.slopes]]
            .map(|rows| rows.map(|row| &row[..shape.width]));
        for x in 0..shape.width {
            let difference = values[1][x] - values[0][x];
            let value = values[0][x] + difference * fraction;
            let slope_y = difference * scale_y;
            let slope_x = slopes[0][x] + (slopes[1][x] - slopes[0][x]) * fraction;
            let gradient = (slope_x * slope_x + slope_y * slope_y).sqrt().max(1e-6);
            coverage[x] = (reach - value.abs() / gradient).clamp(0.0, 1.0);
        }
        for (component, sample) in targets {
            let plane = &mut frame[component.plane];
            if !component.is_bytes() {
                let row = &mut plane.data[y * plane.stride..];
                for (x, coverage) in coverage.iter().enumerate().filter(|(_, coverage)| **coverage > 0.0) {
                    let mut old = [0.0];
                    component.read(row, x, &mut old);
                    component.write(row, x, &[old[0] + (sample - old[0]) * alpha * coverage]);
                }
                continue;
            }
            let row = &mut plane.data[y * plane.stride + component.offset..];
            for (byte, coverage) in row.iter_mut().step_by(component.step).zip(&coverage) {
                if *coverage > 0.0 {
                    let old = f32::from(*byte);
                    *byte = (old + (sample - old) * alpha * coverage + 0.5) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
