//! Masks made visible: on the frame's own planes, or as pictures of their own.

pub mod blend;
pub mod contour;
pub mod grid;
pub mod guided;
pub mod layers;
pub mod overlay;
pub mod render;

#[cfg(test)]
mod tests;
