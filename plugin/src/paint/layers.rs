//! Drawing a small layer on a full frame, in place, in the frame's own planes.
//!
//! Every overlay is the same operation on every byte, `byte * keep + add`, where `keep` and `add` are
//! interpolated bilinearly from a small grid. A row of the grid is spread to the width of the frame once;
//! between two such rows the pixels are plain 16-bit arithmetic over whole rows, which compilers vectorise.
//! Rows and margins where nothing is drawn are not touched.

use factorseg_refine::vectorised;

use super::grid::{Grids, Place, RowPair, rows};
use crate::pixels::layout::{Component, Layout, PlaneMut};

/// `keep` of a byte that stays as it is. One below 2^14, so that differences of two fit 15 bits.
const KEEP: f32 = 16383.0;
/// Scale of `add`: 255 of them stay below 2^14.
const ADD: f32 = 64.0;

/// At 1.5 * 2^23 the last bit of a float is worth one: adding it rounds, and the low bits are the number.
const ROUND: f32 = 12_582_912.0;

/// What is done to one channel, on a grid of its [`Layer`]'s size.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelLayer {
    /// What is kept of the frame, `0..=1`.
    pub keep: Vec<f32>,
    /// What is added, in sample values, `0..=255`. `255 * keep + add` must not exceed 255.
    pub add: Vec<f32>,
}

/// A small picture to be drawn over a frame of any size.
pub type Layer = Grids<ChannelLayer>;

/// A row of the grid, spread over the bytes of a row of a plane.
#[derive(Debug, Default)]
struct SpreadRow {
    keep: Vec<i16>,
    add: Vec<i16>,
    cells: Vec<[f32; 4]>,
    /// The bytes that something is drawn on.
    begin: usize,
    end: usize,
}

/// Draws layers on frames of one layout; keeps its scratch rows between frames.
#[derive(Debug, Default)]
pub struct Painter {
    rows: RowPair<SpreadRow>,
    wide: Vec<f32>,
}

impl Painter {
    /// Draws `layer` on the planes of a frame.
    pub fn paint(&mut self, layout: &Layout, layer: &Layer, frame: &mut [PlaneMut<'_>]) {
        for (index, plane) in frame.iter_mut().enumerate().take(layout.planes) {
            let channels = layer.in_plane(layout, index);
            let Some((component, ..)) = channels.first() else {
                continue;
            };
            if !component.is_bytes() {
                for (component, channel, columns) in &channels {
                    paint_wide(component, channel, columns, layer, plane, &mut self.wide);
                }
                continue;
            }
            let (bytes, _) = layout.plane_size(index);
            self.rows.reset(|row| {
                row.keep.resize(bytes, 0);
                row.add.resize(bytes, 0);
            });
            for (y, place) in rows(component, layer.height).iter().enumerate() {
                let around = self
                    .rows
                    .around(place, |row, out| out.spread(row, layer.width, &channels));
                let [top, bottom] = around;
                let begin = top.begin.min(bottom.begin);
                let end = top.end.max(bottom.end);
                if begin < end {
                    let at = y * plane.stride;
                    blend(
                        &mut plane.data[at + begin..at + end],
                        around.map(|row| &row.keep[begin..end]),
                        around.map(|row| &row.add[begin..end]),
                        place.fraction_16(),
                    );
                }
            }
        }
    }
}

impl SpreadRow {
    fn spread(&mut self, row: usize, grid_width: usize, channels: &[(&Component, &ChannelLayer, Vec<Place>)]) {
        self.keep.fill(KEEP as i16);
        self.add.fill(0);
        (self.begin, self.end) = (usize::MAX, 0);
        for (component, channel, columns) in channels {
            let keep = &channel.keep[row * grid_width..(row + 1) * grid_width];
            let add = &channel.add[row * grid_width..(row + 1) * grid_width];
            // Outside of these columns of the grid the frame stays as it is.
            let changed = |i: usize| keep[i] < 1.0 || add[i] > 0.0;
            let Some(first) = (0..grid_width).find(|&i| changed(i)) else {
                continue;
            };
            let last = (0..grid_width).rfind(|&i| changed(i)).unwrap_or(first);
            let begin = columns.partition_point(|place| place.second < first);
            let end = columns.partition_point(|place| place.first <= last);
            // Of each cell: what it has, and how that changes to the next one.
            self.cells.clear();
            self.cells.extend((0..grid_width).map(|i| {
                let next = (i + 1).min(grid_width - 1);
                let scaled = |row: &[f32], scale: f32| [row[i] * scale, (row[next] - row[i]) * scale];
                let ([keep, more], [add, further]) = (scaled(keep, KEEP), scaled(add, ADD));
                [keep, add, more, further]
            }));
            let start = component.offset + begin * component.step;
            let (keeps, adds) = (&mut self.keep[start..], &mut self.add[start..]);
            let places = &columns[begin..end];
            if component.step == 1 {
                let rows = keeps.iter_mut().zip(adds);
                rows.zip(places)
                    .for_each(|(row, place)| place_on(&self.cells, place, row));
            } else {
                let rows = keeps
                    .iter_mut()
                    .step_by(component.step)
                    .zip(adds.iter_mut().step_by(component.step));
                rows.zip(places)
                    .for_each(|(row, place)| place_on(&self.cells, place, row));
            }
            if begin < end {
                self.begin = self.begin.min(component.offset + begin * component.step);
                self.end = self.end.max(component.offset + (end - 1) * component.step + 1);
            }
        }
    }
}

/// What a place between two cells keeps and what it adds.
#[inline(always)]
fn place_on(cells: &[[f32; 4]], place: &Place, (keep, add): (&mut i16, &mut i16)) {
    let [kept, added, more, further] = cells[place.first];
    *keep = (kept + more * place.fraction + ROUND).to_bits() as i16;
    *add = (added + further * place.fraction + ROUND).to_bits() as i16;
}

/// Draws one channel on samples that are wider than a byte.
fn paint_wide(
    component: &Component,
    channel: &ChannelLayer,
    columns: &[Place],
    layer: &Layer,
    plane: &mut PlaneMut<'_>,
    wide: &mut Vec<f32>,
) {
    let row_of = |grid: &[f32], y: usize| grid[y * layer.width..(y + 1) * layer.width].to_vec();
    for (y, place) in rows(component, layer.height).iter().enumerate() {
        let mixed = |grid: &[f32]| {
            let (mut mixed, bottom) = (row_of(grid, place.first), row_of(grid, place.second));
            for (top, bottom) in mixed.iter_mut().zip(bottom) {
                *top += (bottom - *top) * place.fraction;
            }
            mixed
        };
        let (keep, add) = (mixed(&channel.keep), mixed(&channel.add));
        let changed = |i: usize| keep[i] < 1.0 || add[i] > 0.0;
        let Some(first) = (0..layer.width).find(|&i| changed(i)) else {
            continue;
        };
        let last = (0..layer.width).rfind(|&i| changed(i)).unwrap_or(first);
        let begin = columns.partition_point(|place| place.second < first);
        let end = columns.partition_point(|place| place.first <= last);
        if begin >= end {
            continue;
        }
        let row = &mut plane.data[y * plane.stride..];
        wide.resize(end - begin, 0.0);
        component.read(row, begin, wide);
        for (value, place) in wide.iter_mut().zip(&columns[begin..end]) {
            *value = *value * place.of(&keep) + place.of(&add);
        }
        component.write(row, begin, wide);
    }
}

/// The high half of a product of two 16-bit numbers.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

vectorised! {
    /// Mixes two rows of `keep` and of `add` by `fraction` (of 2^15) and applies them to `bytes`.
    fn blend(bytes: &mut [u8], keep: [&[i16]; 2], add: [&[i16]; 2], fraction: i16) {
        // Equal lengths, told to the compiler once.
        let length = bytes.len();
        let (keep_top, keep_bottom) = (&keep[0][..length], &keep[1][..length]);
        let (add_top, add_bottom) = (&add[0][..length], &add[1][..length]);
        for i in 0..length {
            let keep = keep_top[i] + high((keep_bottom[i] - keep_top[i]) << 1, fraction);
            let add = add_top[i] + high((add_bottom[i] - add_top[i]) << 1, fraction);
            // Both terms have 5 bits of fraction.
            let value = high(i16::from(bytes[i]) << 7, keep) + (add >> 1) + 16;
            bytes[i] = (value >> 5).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
