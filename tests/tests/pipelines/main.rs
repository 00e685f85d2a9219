//! `factorseg-pipeline` as users start it, each of its pipelines, the applications in `pipelines/examples`, and every pipeline that
//! the documentation shows, with small inputs: `cargo test --release -p factorseg-tests --test pipelines` runs them all.

mod applications;
mod background;
mod masks;
mod mosaic;
mod overlay;
mod streams;
mod support;
mod surroundings;
