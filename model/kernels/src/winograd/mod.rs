//! Winograd's minimal filtering for 3x3 convolutions (Lavin and Gray 2016): tiles of the input and the kernel are
//! mapped to points, multiplied point by point, and mapped back.
//!
//! A tile of m x m outputs takes (m + 2)^2 products for each pair of channels instead of 9 m^2: 2.25 times fewer for
//! m = 2, 4 times fewer for m = 4. The points are 0, 1, -1 and infinity for m = 2. For m = 4 they are 0, 5/8, -5/8, 3/2,
//! -3/2 and infinity: rounding the transformed numbers errs half as much then as with the usual 1 and 2 (Barabasz et al.
//! 2020 choose points so), in as many operations.

mod gradients;
mod input;
mod kernels;
mod output;
mod schemes;

pub(crate) use gradients::{
    GradientTiles, kernel_gradient_four, kernel_gradient_two, transform_gradient_four, transform_gradient_four_paired,
    transform_gradient_two, transform_gradient_two_paired,
};
pub(crate) use input::{
    Tiles, transform_input_four, transform_input_four_paired, transform_input_four_rounded, transform_input_two,
    transform_input_two_paired, transform_input_two_rounded,
};
pub(crate) use kernels::{
    transform_kernel_four, transform_kernel_four_half, transform_kernel_two, transform_kernel_two_half,
};
pub(crate) use output::{Finish, finish_direct, finish_four, finish_two};
