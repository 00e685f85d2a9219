//! The page: one file, no other resources but the run's own.

pub(crate) const PAGE: &str = include_str!("page.html");
