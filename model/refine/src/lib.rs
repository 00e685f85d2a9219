//! Region masks judged again after the network: by the picture's own colours, by what moves on its own, by the frame
//! before.
//!
//! Nothing here is learned, nothing is labelled, and nothing knows a network: pictures and soft region masks go in, masks
//! come out. All of it runs at the network's resolution or twice that, on one thread, in a few milliseconds.
//!
//! | module | what |
//! |---|---|
//! | [`map`] | pictures and masks |
//! | [`color`] | each pixel judged by how typical its colour is of each region |
//! | [`barrier`] | what stands apart from the picture's frame |
//! | [`motion`] | the object is what moves on its own: [`flow`] without the [`camera`]'s part, or what moves with order where nothing else does ([`roughness`]); its [`appearance`] where it stops; what has moved in front of a camera that is [`standing`] |
//! | [`temporal`] | masks blended with those of the frame before |
//! | [`guided`] | masks along the edges of colours |
//! | [`instances`] | the object's connected pieces, followed from frame to frame |
//! | [`outline`] | masks as runs and polygons |
//! | [`plane`], [`simd`] | what they are made of |

pub mod appearance;
pub mod barrier;
pub mod camera;
pub mod color;
pub mod flow;
pub mod guided;
pub mod instances;
pub mod map;
pub mod motion;
pub mod outline;
pub mod pieces;
pub mod plane;
pub mod roughness;
pub mod simd;
pub mod standing;
pub mod temporal;

pub use color::{ColorModel, FillHoles};
pub use map::{InputImage, RegionMap};
pub use motion::MotionModel;
pub use plane::Plane;
