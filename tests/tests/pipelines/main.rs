//! `factorseg-pipeline` as users start it, each of its pipelines, the applications in `pipelines/examples`, and every example of its
//! help, with small inputs: `cargo test --release -p factorseg-tests --test pipelines` runs them all. The documents' commands are run by
//! the test `book`.

mod applications;
mod background;
mod help;
mod masks;
mod mosaic;
mod overlay;
mod streams;
mod support;
mod surroundings;
