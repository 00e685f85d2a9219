//! A panic is one error message, and ends here: the element can be stopped and started again.
//!
//! The bindings' own guard marks the element for good: every later call, of a task thousands in a second, posts another error,
//! and no change of state reaches the pads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::element::FactorSeg;
use crate::engine::worker::panic_text;

impl FactorSeg {
    /// Calls `call`; a panic in it is an error message that names the `place`, and gives `fallback`.
    pub(super) fn guarded<T>(&self, place: &str, fallback: T, call: impl FnOnce(&Self) -> T) -> T {
        let call = || {
            #[cfg(test)]
            tests::panic_in(self, place);
            call(self)
        };
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            let text = format!("Panicked in {place}: {}", panic_text(&*panic));
            self.fail(gst::CoreError::Failed, &text);
            fallback
        })
    }

    /// [`Self::guarded`], for a function of a pad.
    pub(super) fn guarded_pad<T>(
        parent: Option<&gst::Object>,
        place: &str,
        fallback: T,
        call: impl FnOnce(&Self) -> T,
    ) -> T {
        match parent.and_then(|parent| parent.downcast_ref::<super::FactorSeg>()) {
            Some(element) => element.imp().guarded(place, fallback, call),
            // Taken out of the element meanwhile.
            None => fallback,
        }
    }
}

#[cfg(test)]
mod tests;
