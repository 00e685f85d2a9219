//! Which region was where in the last seconds: a page shows frames later than they are segmented.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::masks::with_rows;

/// How long masks are kept: longer than any page is behind.
const KEPT: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// Masks are kept in steps of this share of the width: finer than a finger.
const COLUMNS: usize = 160;

/// The winning regions of the last frames.
#[derive(Debug, Default)]
pub struct Regions(Mutex<VecDeque<Labels>>);

#[derive(Debug)]
struct Labels {
    /// Running time of the frame.
    time: gst::ClockTime,
    /// Numbers of regions, from 1, row by row; 0 before the first mask.
    numbers: Vec<u8>,
    columns: usize,
}

impl Regions {
    /// Watches a sink that gets masks as `labels`.
    pub fn watch(sink: &gst_app::AppSink) -> Arc<Self> {
        let regions = Arc::new(Self::default());
        let kept = regions.clone();
        let new_sample = move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // A mask that cannot be read is one that cannot be clicked on, no more.
            let _ = kept.keep(&sample);
            Ok(gst::FlowSuccess::Ok)
        };
        sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(new_sample).build());
        regions
    }

    fn keep(&self, sample: &gst::Sample) -> Option<()> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let time = segment.to_running_time(sample.buffer()?.pts()?)?;
        let (numbers, columns) = with_rows(sample, |rows, width| {
            let step = width.div_ceil(COLUMNS).max(1);
            let coarse = rows.iter().step_by(step).flat_map(|row| row.iter().step_by(step));
            (coarse.copied().collect(), width.div_ceil(step))
        })
        .ok()?;
        self.push(time, numbers, columns);
        Some(())
    }

    pub(super) fn push(&self, time: gst::ClockTime, numbers: Vec<u8>, columns: usize) {
        let mut kept = self.lock();
        while kept.front().is_some_and(|oldest| oldest.time + KEPT < time) {
            kept.pop_front();
        }
        kept.push_back(Labels { time, numbers, columns });
    }

    /// The region at a place, in shares of the frame's width and height, when the frame of `time` was shown, or in the last
    /// frame. `None` if that frame has no mask, or is not kept any more.
    pub fn at(&self, x: f64, y: f64, time: Option<gst::ClockTime>) -> Option<u8> {
        let kept = self.lock();
        let labels = match time {
            Some(time) => kept.iter().rev().find(|labels| labels.time <= time)?,
            None => kept.back()?,
        };
        let rows = labels.numbers.len() / labels.columns.max(1);
        let index = |share: f64, count: usize| ((share * count as f64) as usize).min(count.saturating_sub(1));
        let place = index(y, rows) * labels.columns + index(x, labels.columns);
        labels.numbers.get(place).copied().filter(|&number| number > 0)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Labels>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
