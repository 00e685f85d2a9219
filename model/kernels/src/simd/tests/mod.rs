use super::words::{bf16_value, round_to_bf16};
use super::*;

#[inline(always)]
unsafe fn activate<V: Vector>(values: &mut [f32], use_silu: bool) {
    for chunk in values.chunks_exact_mut(V::LANES) {
        // SAFETY: a chunk holds LANES numbers.
        unsafe {
            let x = V::load(chunk.as_ptr());
            let y = if use_silu { silu(x) } else { exp(x) };
            y.store(chunk.as_mut_ptr());
        }
    }
}
dispatch!(unsafe fn activate_with = activate(values: &mut [f32], use_silu: bool));

#[test]
fn exp_and_silu_follow_the_f64_functions() {
    let inputs: Vec<f32> = (0..16_000).map(|i| (i as f32 - 8_000.0) * 0.0109).collect();
    for set in InstructionSet::available() {
        let (mut exponentials, mut gated) = (inputs.clone(), inputs.clone());
        // SAFETY: the slices are whole vectors.
        unsafe {
            activate_with(set, &mut exponentials, false);
            activate_with(set, &mut gated, true);
        }
        for (i, &x) in inputs.iter().enumerate() {
            let x64 = f64::from(x);
            let expected = x64.clamp(-87.33, 88.37).exp();
            let relative = (f64::from(exponentials[i]) - expected).abs() / expected;
            assert!(relative < 3e-7, "{}: exp({x}) is off by {relative:e}", set.name());
            let expected = x64 / (1.0 + (-x64).exp());
            let error = (f64::from(gated[i]) - expected).abs();
            assert!(
                error <= 4e-7 * expected.abs() + 1e-30,
                "{}: silu({x}) is off by {error:e}",
                set.name()
            );
        }
    }
}

/// Ties, carries into the exponent, infinities, numbers that round to infinity, and NaN.
#[test]
fn rounding_to_bfloat16_is_to_nearest_and_even() {
    let mut values: Vec<f32> = [
        (0x3f80_0000u32, 0x3f80u16),
        (0x3f80_8000, 0x3f80),
        (0x3f81_8000, 0x3f82),
        (0x3f80_8001, 0x3f81),
        (0xbfff_ffff, 0xc000),
        (0x7f80_0000, 0x7f80),
        (0x7f7f_ffff, 0x7f80),
        (0x8000_0000, 0x8000),
    ]
    .iter()
    .map(|&(bits, rounded)| {
        assert_eq!(round_to_bf16(f32::from_bits(bits)), rounded, "{bits:x}");
        f32::from_bits(bits)
    })
    .collect();
    assert!(bf16_value(round_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    values.extend((0..1016).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.11).exp()));
    for set in InstructionSet::available()
        .into_iter()
        .filter(|set| set.computes_bf16())
    {
        let mut words = vec![0.0f32; values.len() / 2];
        // SAFETY: as many numbers as two for each word.
        unsafe { round_numbers(set, values.as_ptr(), words.as_mut_ptr(), values.len()) };
        for (word, values) in words.iter().zip(values.chunks_exact(2)) {
            assert_eq!(
                word.to_bits(),
                pair(values[0], values[1]).to_bits(),
                "{}: {values:?}",
                set.name()
            );
        }
    }
}

#[test]
fn not_a_number_is_passed_on() {
    for set in InstructionSet::available() {
        let mut values = [f32::NAN; 16];
        // SAFETY: sixteen numbers are whole vectors.
        unsafe { activate_with(set, &mut values, false) };
        assert!(values.iter().all(|value| value.is_nan()), "{}: exp(NaN)", set.name());
        let mut values = [f32::NAN; 16];
        // SAFETY: as above.
        unsafe { activate_with(set, &mut values, true) };
        assert!(values.iter().all(|value| value.is_nan()), "{}: silu(NaN)", set.name());
    }
}
