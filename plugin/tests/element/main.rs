//! How the element behaves in streams, with engines that are slow, fail, panic or lie.

#[cfg(feature = "v1_26")]
mod analytics;
mod changes;
mod embedded;
mod failures;
mod formats;
mod hostile;
mod lifecycle;
mod loading;
mod masks;
mod modes;
mod motion;
mod negotiation;
mod overlap;
mod pipelines;
mod properties;
mod scenes;
mod sessions;
mod stress;
mod support;
