//! The documents, held against the program: every command runs or is parsed, every link leads somewhere, the reference pages are
//! those of the code.
//!
//! A fenced block of commands is marked `sh` and runs to its end, in a folder with small stand-ins of what it names. One that cannot says why
//! behind that: `sh long`, `sh needs: a GPU`. Then, as for commands in running text, programs parse what they are given and nothing is
//! computed.

mod commands;
mod links;
mod markdown;
mod reference;
mod stand_ins;
