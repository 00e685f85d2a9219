//! Small grids that cover the whole frame, and where the frame's samples lie in them.

use crate::pixels::layout::{Channel, Component, Layout};

/// What is drawn on the channels of a frame, one grid for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Grids<T> {
    /// Columns of the grids.
    pub width: usize,
    /// Rows of the grids.
    pub height: usize,
    /// Of the colour channels, as the frame's format has them; `None` is left as it is.
    pub colors: [Option<T>; 3],
    /// Of the opacity, for formats that have it.
    pub alpha: Option<T>,
}

impl<T> Grids<T> {
    /// A grid for each colour channel of a layout.
    pub fn of_colors(width: usize, height: usize, layout: &Layout, grid: impl Fn(usize) -> T) -> Self {
        let components = layout.colorimetry.components();
        Self {
            width,
            height,
            colors: [0, 1, 2].map(|channel| (channel < components).then(|| grid(channel))),
            alpha: None,
        }
    }

    /// The grid of the opacity alone.
    pub fn of_alpha(width: usize, height: usize, grid: T) -> Self {
        Self {
            width,
            height,
            colors: [None, None, None],
            alpha: Some(grid),
        }
    }

    /// The components of a plane that are drawn on, their grids, and the places of their columns in these.
    pub(super) fn in_plane<'a>(&'a self, layout: &'a Layout, plane: usize) -> Vec<(&'a Component, &'a T, Vec<Place>)> {
        let drawn = |component: &'a Component| {
            let grid = match component.channel {
                Channel::Color(index) => self.colors[index].as_ref(),
                Channel::Alpha => self.alpha.as_ref(),
            };
            Some((component, grid?, columns(component, self.width)))
        };
        layout.in_plane(plane).filter_map(drawn).collect()
    }
}

/// The places of a component's samples in a row of a grid.
pub(super) fn columns(component: &Component, grid_width: usize) -> Vec<Place> {
    places(component.width, component.extent_width, grid_width)
}

/// The places of a component's rows in a grid.
pub(super) fn rows(component: &Component, grid_height: usize) -> Vec<Place> {
    places(component.height, component.extent_height, grid_height)
}

/// Where a sample of the frame lies between two of a grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Weight of `second`, `0..1`.
    pub(super) fraction: f32,
}

impl Place {
    /// Interpolates a row of the grid.
    #[inline]
    pub(super) fn of(&self, row: &[f32]) -> f32 {
        row[self.first] + (row[self.second] - row[self.first]) * self.fraction
    }

    /// The fraction in steps of 2^-15.
    pub(super) fn fraction_16(&self) -> i16 {
        (self.fraction * 32767.0) as i16
    }
}

/// Interpolates a row of a grid at places.
pub(super) fn interpolate(row: &[f32], places: &[Place], out: &mut [f32]) {
    // What each cell has, and how that changes to the next one.
    let next = row[1..].iter().chain(row.last());
    let cells: Vec<[f32; 2]> = row.iter().zip(next).map(|(cell, next)| [*cell, next - cell]).collect();
    for (out, place) in out.iter_mut().zip(places) {
        let [cell, change] = cells[place.first];
        *out = cell + change * place.fraction;
    }
}

/// The places of `length` samples (covering `extent`) in a grid of `cells`, both centred on their areas.
pub(super) fn places(length: usize, extent: f64, cells: usize) -> Vec<Place> {
    let scale = cells as f64 / extent;
    let limit = (cells - 1) as f64;
    (0..length)
        .map(|index| {
            let center = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, limit);
            let first = center.floor() as usize;
            Place {
                first,
                second: (first + 1).min(cells - 1),
                fraction: (center - first as f64) as f32,
            }
        })
        .collect()
}

/// The sample of a component that covers a sample of the frame, where each covers `across` of them.
pub(super) fn nearest(index: usize, across: usize, samples: usize) -> usize {
    (index / across).min(samples - 1)
}

/// The two rows of a grid around a row of the frame, spread to the frame's width; each is spread once on the way down.
#[derive(Debug, Default)]
pub(super) struct RowPair<R> {
    /// Which row of the grid it is, and what was made of it.
    rows: [(Option<usize>, R); 2],
}

impl<R> RowPair<R> {
    /// Begins with another grid; `prepare` makes room.
    pub(super) fn reset(&mut self, prepare: impl Fn(&mut R)) {
        for (index, row) in &mut self.rows {
            *index = None;
            prepare(row);
        }
    }

    /// The rows above and below a place; `spread` makes those that are not there yet.
    pub(super) fn around(&mut self, place: &Place, spread: impl Fn(usize, &mut R)) -> [&R; 2] {
        if self.rows[0].0 != Some(place.first) {
            self.rows.swap(0, 1);
        }
        for ((index, row), wanted) in self.rows.iter_mut().zip([place.first, place.second]) {
            if *index != Some(wanted) {
                *index = Some(wanted);
                spread(wanted, row);
            }
        }
        self.rows.each_ref().map(|(_, row)| row)
    }
}
