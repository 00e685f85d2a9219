//! Buffers aligned to cache lines, and the view through which threads write disjoint parts of one.

use std::marker::PhantomData;

/// Numbers of a cache line.
const LINE: usize = 16;

/// Zero-initialised numbers that start at a cache line. Pages that are never written take no memory, so that room for many
/// threads costs what those use that have work.
#[derive(Default)]
pub(crate) struct Buffer {
    numbers: Vec<f32>,
    start: usize,
    length: usize,
}

impl Buffer {
    pub(crate) fn zeroed(length: usize) -> Self {
        if length == 0 {
            return Self::default();
        }
        // Plain numbers: for a type of a larger alignment the allocator would write the zeros itself.
        let numbers = vec![0.0f32; length + LINE - 1];
        let start = numbers.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { numbers, start, length }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut clone = Self::zeroed(self.length);
        clone.copy_from_slice(self);
        clone
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..self.start + self.length]
    }
}

/// A mutable slice that several threads may write, each to its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through `part` and `pointer`, whose callers keep the parts of threads disjoint.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            length: slice.len(),
            slice: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// A pointer to element `offset`; panics past the end.
    pub(crate) fn pointer(&self, offset: usize) -> *mut f32 {
        assert!(offset <= self.length, "offset {offset} of a buffer of {}", self.length);
        // SAFETY: within the slice or one past its end.
        unsafe { self.start.add(offset) }
    }

    /// Elements `offset..offset + length`; panics past the end.
    ///
    /// # Safety
    /// No other part that is in use at the same time, on any thread, overlaps.
    #[allow(clippy::mut_from_ref)] // disjointness is the caller's promise
    pub(crate) unsafe fn part(&self, offset: usize, length: usize) -> &'a mut [f32] {
        assert!(
            offset + length <= self.length,
            "part {offset}+{length} of a buffer of {}",
            self.length
        );
        // SAFETY: in bounds by the assertion, unique by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), length) }
    }
}

#[cfg(test)]
mod tests;
