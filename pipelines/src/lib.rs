//! Ready pipelines around the element `factorseg`, one program for all: `factorseg-pipeline NAME --in ... --out ...`.
//!
//! It links the plugin, so it runs without `GST_PLUGIN_PATH`. [`cli`] has the commands, one module a pipeline
//! ([`overlay`], [`background`], [`masks`] with [`coco`], [`davis`], [`mosaic`], [`live`]); what they share: [`arguments`], [`input`] (where frames and [`sound`] come from), [`output`] (where they go),
//! [`parse`] (a pipeline from its description), [`runner`] (bus, signals, several pipelines), [`shown`] (frames that are
//! done) and [`progress`] (what the terminal shows meanwhile).

pub mod arguments;
pub mod background;
pub mod cli;
pub mod coco;
pub mod davis;
pub mod input;
pub mod live;
pub mod masks;
pub mod mosaic;
pub mod output;
pub mod overlay;
pub mod parse;
pub mod progress;
pub mod runner;
pub mod shown;
pub mod sound;
