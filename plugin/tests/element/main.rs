//! How the element behaves in streams, with engines that are slow, fail, panic or lie.

mod embedded;
mod failures;
mod formats;
mod lifecycle;
mod masks;
mod modes;
mod overlap;
mod properties;
mod support;
