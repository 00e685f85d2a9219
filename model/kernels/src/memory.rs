//! Buffers aligned to cache lines, and the view through which threads write disjoint parts of one.

use std::marker::PhantomData;

/// One cache line of numbers.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Zero-initialised numbers that start at a cache line.
#[derive(Clone, Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    length: usize,
}

impl Buffer {
    pub(crate) fn zeroed(length: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); length.div_ceil(16)],
            length,
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is sixteen f32 without padding and `length` is at most 16 times the number of lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
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
